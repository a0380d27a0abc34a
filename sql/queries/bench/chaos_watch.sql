-- chaos_watch: from now on each move is recorded.
create trigger chaos_watch after insert or delete or update of status on blog_generations
for each row execute function chaos_record();
