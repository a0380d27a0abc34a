-- chaos_job_trigger: record each change of status from now on.
create trigger chaos_record_job after insert or delete or update of status on blog_generations
for each row execute function chaos_record_job();
