-- chaos_rename_back: and is back.
alter function quota_round_of_tomorrow rename to quota_round;
