-- fleet: the totals of `status`.
-- Gives  one row: sites, ready, paused, at_cap; finished in the last minute and ten minutes; estimated_wait_minutes;
--        usd_today, usd_month (UTC), budget_day_usd, budget_month_usd; stop_reason: why no paid stage is claimed,
--        null: paid stages are claimed.
select
    (select count(*) from sites) as sites,
    (select count(*) from sites as s where s.ready and s.paused_at is null) as ready,
    (select count(*) from sites as s where s.paused_at is not null) as paused,
    (select count(*) from sites as s where s.at_cap) as at_cap,
    (select count(*) from blog_generations as g where g.finished_at > now() - interval '1 minute')
        as finished_last_minute,
    (select count(*) from blog_generations as g where g.finished_at > now() - interval '10 minutes')
        as finished_last_10_minutes,
    estimated_wait_minutes(pending_count(1000000)) as estimated_wait_minutes,
    s.spent_today_usd::double precision as usd_today,
    s.spent_month_usd::double precision as usd_month,
    s.budget_day_usd::double precision as budget_day_usd,
    s.budget_month_usd::double precision as budget_month_usd,
    s.stop_reason
from spending as s;
