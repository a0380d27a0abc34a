-- prune_leftovers: delete other old rows: expired cache entries, workers that exited long ago, usage per hour and per day
--        that is older than a year.
-- Gives  one row: pruned int.
with cached as (delete from cache as c where c.expires_at < now() returning 1 as one),

gone as (delete from workers as w where w.lease_until < now() - interval '1 day' returning 1 as one),

used as (delete from provider_usage as u where u.hour < now() - interval '400 days' returning 1 as one),

summed as (delete from site_spend as s where s.day < now() - interval '400 days' returning 1 as one)

select ((select count(*) from cached) + (select count(*) from gone) + (select count(*) from used)
    + (select count(*) from summed))::integer as pruned;
