-- chaos_revoke_jobs: make it impossible for workers to claim and to settle.
revoke update on blog_generations from blogworker_worker;
