-- chaos_grant_jobs: workers may claim and settle again.
grant update on blog_generations to blogworker_worker;
