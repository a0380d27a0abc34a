-- hold_budget: whether the attempt may spend this much more. See the function.
-- Takes  job_id, attempt, worker_id uuid; usd; now timestamptz, null: the database's clock (tests set it).
-- Gives  one row: affordable, scope, reason, newly; no row if the claim was lost.
-- Locks  the job, then the budgets that limit it; other attempts with the same budget wait.
select r.affordable, r.scope, r.reason, r.newly
from hold_budget(
    %(job_id)s::bigint, %(attempt)s::integer, %(worker_id)s::uuid, least(greatest(%(usd)s::numeric, 0), 1000000),
    coalesce(%(now)s::timestamptz, clock_timestamp())
) as r;
