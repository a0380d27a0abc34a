-- chaos_rename_back: undo chaos_rename.
alter function quota_round_renamed rename to quota_round;
