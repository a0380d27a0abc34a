-- plans: all plans, or one.
-- Takes  name, null: all.
-- Gives  rows: the plan and how many sites have it, by name.
select
    p.name,
    p.weight,
    p.priority,
    p.max_in_flight,
    p.max_pending,
    p.budget_day_usd::double precision as budget_day_usd,
    p.budget_month_usd::double precision as budget_month_usd,
    p.quota_share,
    (select count(*) from sites as s where s.plan = p.name) as sites
from plans as p
where %(name)s::text is null or p.name = %(name)s
order by p.name;
