-- chaos_revoke_jobs: workers may neither claim nor settle.
revoke update on blog_generations from blogworker_worker;
