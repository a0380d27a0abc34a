-- reserve: take quota for one call; the function's contract is in the migration.
-- Takes  name; tokens: the estimate; longest_wait_s.
-- Gives  one row: granted boolean; wait_s: seconds until the call may go.
select r.granted, r.wait_s from reserve_quota(%(name)s, %(tokens)s::integer, %(longest_wait_s)s) as r;
