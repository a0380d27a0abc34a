-- round: give back, tell and reserve, for all callers of one process; the function's contract is in migration 0006.
-- Takes  name; tokens int[]; unused_s; back_requests_s; back_tokens_s; back_epoch; longest_wait_s;
--        told_s double precision[], told_requests int[], told_tokens int[] (same order); desk_id uuid, number bigint.
-- Gives  one row: waits, soonest, returned_s, next_s, request_s, token_s, epoch.
-- Locks  the bucket's row, then the desk's own in quota_rounds.
select r.waits, r.soonest, r.returned_s, r.next_s, r.request_s, r.token_s, r.epoch
from quota_round(
    %(name)s, %(tokens)s::integer[], %(unused_s)s, %(back_requests_s)s, %(back_tokens_s)s, %(back_epoch)s::integer,
    %(longest_wait_s)s, %(told_s)s::double precision[], %(told_requests)s::integer[], %(told_tokens)s::integer[],
    %(desk_id)s::uuid, %(number)s::bigint
) as r;
