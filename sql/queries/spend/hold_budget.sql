-- hold_budget: may the attempt spend so much more? See the function.
-- Takes  job_id, attempt, worker_id uuid; usd; now timestamptz, null: the database's clock (tests set it).
-- Gives  one row, or none when the claim is no longer the caller's: affordable, scope, reason, newly.
-- Locks  the job, and whoever asks within the same budget.
select r.affordable, r.scope, r.reason, r.newly
from reserve_spend(
    %(job_id)s::bigint, %(attempt)s::integer, %(worker_id)s::uuid, least(greatest(%(usd)s::numeric, 0), 1000000),
    coalesce(%(now)s::timestamptz, clock_timestamp())
) as r;
