-- chaos_answer_trigger: record each paid answer from now on.
create trigger chaos_record_answer after insert or update on generation_stages
for each row when (new.model is not null) execute function chaos_record_answer();
