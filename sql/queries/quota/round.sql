-- round: give back, and reserve, for all callers of one process; the function's contract is in the migration.
-- Takes  name; tokens int[]; back_requests_s; back_tokens_s; back_epoch; longest_wait_s.
-- Gives  one row: waits, next_s, request_s, token_s, epoch.
select r.waits, r.next_s, r.request_s, r.token_s, r.epoch
from quota_round(
    %(name)s, %(tokens)s::integer[], %(back_requests_s)s, %(back_tokens_s)s, %(back_epoch)s::integer, %(longest_wait_s)s
) as r;
