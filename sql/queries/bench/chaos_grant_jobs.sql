-- chaos_grant_jobs: undo chaos_revoke_jobs.
grant update on blog_generations to blogworker_worker;
