-- Fairness in figures: service by site, how even it is, and who waits longest.

-- Sites with work waiting or served in the last ten minutes. service: jobs started per unit of weight.
create view site_service as
with started as (
    select g.instance_id, count(*) as jobs
    from blog_generations as g
    where
        (g.status = 'PROCESSING' or g.finished_at > now() - interval '10 minutes') -- each by its index
        and g.claimed_at > now() - interval '10 minutes'
    group by g.instance_id
),

waiting as (
    select g.instance_id, count(*) as jobs, min(greatest(g.run_at, g.created_at)) as since
    from blog_generations as g
    where g.status = 'PENDING'
    group by g.instance_id
)

select
    s.instance_id,
    s.name,
    s.weight,
    coalesce(b.jobs, 0) as started,
    coalesce(b.jobs, 0) / s.weight as service,
    coalesce(w.jobs, 0) as pending,
    site_in_flight(s.instance_id) as processing,
    now() - w.since as longest_wait,
    case
        when s.paused_at is not null then 'paused: ' || coalesce(s.pause_reason, 'no reason given')
        when s.at_cap then 'at its cap'
        when w.jobs > 0 then 'in line'
        else 'idle'
    end as state
from sites as s
left join started as b using (instance_id)
left join waiting as w using (instance_id)
where b.jobs > 0 or w.jobs > 0;

-- One row. Jain's index of service over the sites that are in line now; 1 is even. Sites that had work all the time
-- should be served alike; a site that came a moment ago, or asked for little, lowers the index without being treated
-- unfairly.
create view service_fairness as
select
    count(*) as sites_in_line,
    min(v.service) as least_service,
    max(v.service) as most_service,
    case
        when sum(v.service ^ 2) > 0 then sum(v.service) ^ 2 / (count(*) * sum(v.service ^ 2))
    end as jain,
    max(v.longest_wait) as longest_wait,
    (array_agg(v.instance_id order by v.longest_wait desc nulls last))[1] as longest_waiting_site
from site_service as v
where v.state = 'in line';
