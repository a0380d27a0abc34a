-- chaos_quota_round: whether the function that is renamed has its own name.
-- Gives  one row: there.
select exists (select from pg_proc as p where p.proname = 'quota_round') as there;
