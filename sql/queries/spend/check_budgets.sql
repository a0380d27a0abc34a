-- check_budgets: end the pauses that are over, and report what may be claimed: whether the total budget allows paid
-- stages, and which stages are paused.
-- Takes  now timestamptz, null: the database's clock (tests set it).
-- Gives  one row: resumed int; stop_reason, null: paid stages may be claimed; stopped_s: seconds until they may be again;
--        paused_stages text[]: stages that a person has paused.
-- Locks  the sites, skipping those locked by other transactions.
with due as (
    select s.instance_id
    from sites as s
    where s.resume_at <= coalesce(%(now)s::timestamptz, now())
    order by s.resume_at
    limit 1000
    for no key update skip locked
),

resumed as (
    update sites as s
    set paused_at = null
    where s.instance_id = any (array(select d.instance_id from due as d)) -- by the primary key
    returning s.instance_id
)

select
    (select count(*)::integer from resumed) as resumed,
    case when b.stopped then b.stop_reason end as stop_reason,
    case when b.stopped then extract(epoch from b.stopped_until - b.now)::double precision else 0 end as stopped_s,
    array(select p.stage from stage_pauses as p order by p.stage) as paused_stages
from (
    select o.stop_reason, o.stopped_until, c.now, coalesce(o.stopped_until > c.now, false) as stopped
    from fleet_budget as o
    cross join (select coalesce(%(now)s::timestamptz, now()) as now) as c
) as b;
