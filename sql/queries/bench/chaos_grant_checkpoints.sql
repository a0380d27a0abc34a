-- chaos_grant_checkpoints: workers may store a finished stage again.
grant insert on generation_stages to blogworker_worker;
