-- chaos_rename: rename the function that reserves quota.
alter function quota_round rename to quota_round_renamed;
