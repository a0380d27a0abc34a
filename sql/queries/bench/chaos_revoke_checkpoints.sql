-- chaos_revoke_checkpoints: workers may not store a finished stage.
revoke insert on generation_stages from blogworker_worker;
