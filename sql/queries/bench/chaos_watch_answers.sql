-- chaos_watch_answers: from now on each paid answer is noted.
create trigger chaos_watch_answers after insert or update on generation_stages
for each row when (new.model is not null) execute function chaos_note_answer();
