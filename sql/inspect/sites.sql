-- Who waits, who is served, who is shut out?     psql "$DATABASE_URL" -f sql/inspect/sites.sql
\echo 'Sites with work, the longest wait first'
select
    g.instance_id,
    s.name,
    s.weight,
    count(*) filter (where g.status = 'PENDING') as pending,
    count(*) filter (where g.status = 'PROCESSING') as processing,
    s.max_in_flight as cap,
    date_trunc('second', now() - min(g.run_at) filter (where g.status = 'PENDING')) as longest_wait,
    case
        when s.paused_at is not null then 'paused: ' || coalesce(s.pause_reason, 'no reason given')
        when s.at_cap then 'at its cap'
        when s.ready then 'in line'
        else 'idle'
    end as state
from blog_generations as g
join sites as s using (instance_id)
where g.status in ('PENDING', 'PROCESSING')
group by g.instance_id, s.instance_id
order by longest_wait desc nulls last
limit 50;

\echo 'Service of the last hour: blogs started per unit of weight, and how even that is (Jain''s index, 1 is even)'
with service as (
    select g.instance_id, count(*) / s.weight as share
    from blog_generations as g
    join sites as s using (instance_id)
    where g.claimed_at > now() - interval '1 hour'
    group by g.instance_id, s.weight
)

select
    count(*) as sites,
    round(min(share)::numeric, 2) as least,
    round(max(share)::numeric, 2) as most,
    round((sum(share) ^ 2 / (count(*) * sum(share ^ 2)))::numeric, 4) as jain
from service
having count(*) > 0;
