-- chaos_revoke_checkpoints: make it impossible for workers to store checkpoints.
revoke insert on generation_stages from blogworker_worker;
