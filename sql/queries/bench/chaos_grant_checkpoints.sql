-- chaos_grant_checkpoints: undo chaos_revoke_checkpoints.
grant insert on generation_stages to blogworker_worker;
