-- round: give back, and reserve, for all callers of one process; the function's contract is in the migration.
-- Takes  name; tokens int[]; back_calls; back_tokens; longest_wait_s.
-- Gives  one row: waits, next_s, epoch, blocked_s, pace.
select r.waits, r.next_s, r.epoch, r.blocked_s, r.pace
from quota_round(
    %(name)s, %(tokens)s::integer[], %(back_calls)s::integer, %(back_tokens)s::bigint, %(longest_wait_s)s
) as r;
