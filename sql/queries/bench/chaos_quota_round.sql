-- chaos_quota_round: whether the function that chaos_rename renames exists.
-- Gives  one row: exists.
select exists (select from pg_proc as p where p.proname = 'quota_round') as exists;
