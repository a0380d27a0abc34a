-- set_plan: create a plan, or change it and its sites.
-- Takes  name; weight, priority: null leaves them unchanged; max_in_flight, max_pending, budget_day_usd,
--        budget_month_usd, quota_share; set_max_in_flight, set_max_pending, set_budget_day, set_budget_month,
--        set_quota_share boolean: change this value; a null then removes the limit.
-- Gives  the name.
-- Locks  the plan, then its sites.
insert into plans as p (
    name, weight, priority, max_in_flight, max_pending, budget_day_usd, budget_month_usd, quota_share
)
values (
    %(name)s,
    coalesce(%(weight)s::real, 1),
    coalesce(%(priority)s::smallint, 0),
    %(max_in_flight)s::integer,
    %(max_pending)s::integer,
    %(budget_day_usd)s::numeric,
    %(budget_month_usd)s::numeric,
    %(quota_share)s::real
)
on conflict (name) do update
set
    weight = coalesce(%(weight)s::real, p.weight),
    priority = coalesce(%(priority)s::smallint, p.priority),
    max_in_flight = case when %(set_max_in_flight)s then %(max_in_flight)s::integer else p.max_in_flight end,
    max_pending = case when %(set_max_pending)s then %(max_pending)s::integer else p.max_pending end,
    budget_day_usd = case when %(set_budget_day)s then %(budget_day_usd)s::numeric else p.budget_day_usd end,
    budget_month_usd = case when %(set_budget_month)s then %(budget_month_usd)s::numeric else p.budget_month_usd end,
    quota_share = case when %(set_quota_share)s then %(quota_share)s::real else p.quota_share end
returning p.name;
