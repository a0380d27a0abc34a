-- sites: sites with their jobs, the busiest first.
-- Takes  most; instance_id, null: all; text: a part of the id or the name, in any case, null: any; paused boolean: only
--        paused sites.
-- Gives  rows: the site and its jobs by status (ended ones: of the last day); product_url: the template that is set, else
--        the one detected from the shop (then product_url_learnt); weight, priority, max_in_flight, max_pending, budgets:
--        in force; own: those of them that are the site's own, the others are its plan's; token_share: its part of the
--        tokens that all sites used in this hour and the last one, null: none used any; waiting_since: since when its
--        oldest PENDING job waits, null: none waits.
-- Plan   provider_usage by its primary key: two hours of it.
with chosen as (
    select s.*
    from sites as s
    where
        (%(instance_id)s::text is null or s.instance_id = %(instance_id)s)
        and (%(text)s::text is null or strpos(lower(concat_ws(' ', s.instance_id, s.name)), lower(%(text)s)) > 0)
        and (not %(paused)s::boolean or s.paused_at is not null)
),

jobs as (
    select
        g.instance_id,
        count(*) filter (where g.status = 'PENDING') as pending,
        count(*) filter (where g.status = 'PROCESSING') as processing,
        count(*) filter (where g.status = 'SCHEDULED') as scheduled,
        count(*) filter (where g.status = 'DONE') as done,
        count(*) filter (where g.status = 'FAILED') as failed,
        min(greatest(g.run_at, g.created_at)) filter (where g.status = 'PENDING') as waiting_since
    from blog_generations as g
    where
        (g.status in ('PENDING', 'PROCESSING', 'SCHEDULED') or g.finished_at > now() - interval '1 day')
        and (%(instance_id)s::text is null or g.instance_id = %(instance_id)s)
    group by g.instance_id
),

used as (
    select u.instance_id, sum(u.tokens_in + u.tokens_out) as tokens
    from provider_usage as u
    where u.hour >= date_trunc('hour', now() - interval '1 hour')
    group by u.instance_id
)

select
    c.instance_id,
    c.name,
    c.plan,
    c.weight,
    c.priority,
    c.max_in_flight,
    c.max_pending,
    coalesce(c.own_quota_share, p.quota_share) as quota_share,
    jsonb_strip_nulls(
        jsonb_build_object(
            'weight', c.own_weight, 'priority', c.own_priority, 'max_in_flight', c.own_max_in_flight,
            'max_pending', c.own_max_pending, 'quota_share', c.own_quota_share,
            'budget_day_usd', c.own_budget_day_usd, 'budget_month_usd', c.own_budget_month_usd
        )
    ) as own,
    c.paused_at,
    c.pause_reason,
    c.resume_at,
    c.budget_day_usd,
    c.budget_month_usd,
    c.ready,
    c.at_cap,
    c.virtual_time,
    c.turn_cost,
    c.settings,
    coalesce(c.settings ->> 'product_url', l.value #>> '{}') as product_url,
    c.settings ->> 'product_url' is null and l.value is not null as product_url_learnt,
    coalesce(j.pending, 0) as pending,
    coalesce(j.processing, 0) as processing,
    coalesce(j.scheduled, 0) as scheduled,
    coalesce(j.done, 0) as done,
    coalesce(j.failed, 0) as failed,
    (coalesce(u.tokens, 0) / nullif(t.tokens, 0))::float8 as token_share,
    j.waiting_since
from chosen as c
left join plans as p on p.name = c.plan
left join jobs as j using (instance_id)
left join used as u using (instance_id)
cross join (select sum(x.tokens) as tokens from used as x) as t
left join cache as l on l.key = 'product_url/' || c.instance_id and l.expires_at > now()
order by coalesce(j.pending, 0) + coalesce(j.processing, 0) desc, c.instance_id
limit %(most)s;
