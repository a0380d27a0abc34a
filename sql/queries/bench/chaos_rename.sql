-- chaos_rename: the function that every paid call asks for its quota is gone.
alter function quota_round rename to quota_round_of_tomorrow;
