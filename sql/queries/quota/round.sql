-- round: give back, report usage and reserve, for all callers of one process; the function's contract is in 0020.
-- Takes  name; call_ids uuid[], turns double precision[], tokens int[], waited_s double precision[] (same order);
--        unused_tokens, unused_token_s double precision[] (same order); back_requests_s; back_tokens_s; back_epoch;
--        longest_wait_s; ahead_s; told_s double precision[], told_requests int[], told_tokens int[] (same order);
--        desk_id uuid, number bigint.
-- Gives  one row: waits, soonest, returned_at_s, expected_s, refused, request_s, token_s (in the order of call_ids);
--        returned_s, epoch.
-- Locks  the bucket's row, then the desk's own in quota_rounds.
select
    r.waits,
    r.soonest,
    r.returned_at_s,
    r.expected_s,
    r.refused,
    r.request_s,
    r.token_s,
    r.returned_s,
    r.epoch
from quota_round(
    %(name)s, %(call_ids)s::uuid[], %(turns)s::double precision[], %(tokens)s::integer[],
    %(waited_s)s::double precision[], %(unused_tokens)s::double precision[], %(unused_token_s)s::double precision[],
    %(back_requests_s)s, %(back_tokens_s)s, %(back_epoch)s::integer, %(longest_wait_s)s, %(ahead_s)s,
    %(told_s)s::double precision[], %(told_requests)s::integer[], %(told_tokens)s::integer[], %(desk_id)s::uuid,
    %(number)s::bigint
) as r;
