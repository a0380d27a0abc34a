-- explain: why one job waits, what is before it, and what its last error was.
-- Takes  job_id.
-- Gives  no row if it does not exist, else: job_id, instance_id, status, stage, attempt, failures, max_attempts, run_at,
--        claimed_at, finished_at, error; worker: who runs it, null: its lease has ended; kind, reason, until: the first
--        thing that it waits for, see v_waiting, or schedule; also text[]: the reasons after it; publish_at; place: among the waiting jobs of its site, counted to 1,000;
--        sites_before: sites that are served before its own, counted to 1,000; in_progress, max_in_flight: of its site;
--        starts_in_s: an estimate, null: unknown; error_kind, error_provider, error_retryable: of its last error;
--        title, url, cost_usd: of its post.
select
    g.id as job_id,
    g.instance_id,
    g.status,
    g.stage,
    g.attempt,
    g.failures,
    g.max_attempts,
    g.run_at,
    g.claimed_at,
    g.finished_at,
    g.error,
    (select w.name from workers as w where w.worker_id = g.worker_id and w.lease_until > now()) as worker,
    coalesce(v.kind, case when g.status = 'SCHEDULED' then 'schedule' end) as kind,
    v.reason,
    coalesce(v.until, case when g.status = 'SCHEDULED' then g.run_at end) as until,
    coalesce(v.also, '{}') as also,
    n.publish_at,
    p.place,
    case
        when v.id is not null then (
            select count(*)
            from (
                select
                from sites as o
                where is_in_line(o) and o.virtual_time < s.virtual_time
                limit 1000
            ) as before
        )
    end as sites_before,
    site_in_flight(g.instance_id) as in_progress,
    s.max_in_flight,
    case
        when v.kind in ('line', 'quota', 'site_quota', 'cap')
            then greatest(expected_wait_s(p.place), extract(epoch from v.until - now())::double precision)
        when g.status = 'SCHEDULED' or v.kind = 'rest'
            then greatest(0, extract(epoch from g.run_at - now()))::double precision
    end as starts_in_s,
    e.kind as error_kind,
    e.provider as error_provider,
    e.retryable as error_retryable,
    b.title,
    b.url,
    (select sum(c.cost_usd)::double precision from generation_stages as c where c.generation_id = g.id) as cost_usd
from blog_generations as g
join sites as s using (instance_id)
left join v_waiting as v on v.id = g.id
left join lateral (select place_in_site(g) as place) as p on v.id is not null
left join lateral (
    select l.kind, l.provider, l.retryable
    from generation_errors as l
    where l.generation_id = g.id
    order by l.id desc
    limit 1
) as e on true
left join blog_posts as b on b.generation_id = g.id
left join scheduled_blogs as n on n.blog_generation_id = g.id
where g.id = %(job_id)s;
