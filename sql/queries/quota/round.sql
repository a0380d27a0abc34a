-- round: refund, report usage and reserve, for all callers of one process. Calls quota_round, which has the contract.
-- Takes  name; call_ids uuid[], turns double precision[], tokens int[], waited_s double precision[] (same order);
--        unused_tokens, unused_token_s double precision[] (same order); refund_requests_s; refund_tokens_s;
--        refund_epoch; longest_wait_s; ahead_s; reported_s double precision[], reported_requests int[], reported_tokens
--        int[] (same order); client_id uuid, number bigint; spares int: most further calls that may start at once.
-- Gives  one row: waits, soonest, returned_at_s, expected_s, refused, request_s, token_s (in the order of call_ids);
--        returned_s, epoch; spares: the further calls that were granted.
-- Locks  the bucket's row, then the client's row in quota_rounds.
select
    r.waits,
    r.soonest,
    r.returned_at_s,
    r.expected_s,
    r.refused,
    r.request_s,
    r.token_s,
    r.returned_s,
    r.epoch,
    r.spares
from quota_round(
    %(name)s, %(call_ids)s::uuid[], %(turns)s::double precision[], %(tokens)s::integer[],
    %(waited_s)s::double precision[], %(unused_tokens)s::double precision[], %(unused_token_s)s::double precision[],
    %(refund_requests_s)s, %(refund_tokens_s)s, %(refund_epoch)s::integer, %(longest_wait_s)s, %(ahead_s)s,
    %(reported_s)s::double precision[], %(reported_requests)s::integer[], %(reported_tokens)s::integer[],
    %(client_id)s::uuid, %(number)s::bigint, %(spares)s::integer
) as r;
