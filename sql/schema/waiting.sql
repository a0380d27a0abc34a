-- Waiting: why each job waits, until when, and how long a new one will.

-- What the live workers need, as one of them wrote it into its row (Gate.needs).
-- Gives  buckets, tokens: of the calls of ideas, content and image, and what is reserved for each; blog_s: seconds of
--        a job; site_rpm: calls a minute to one site, null: none are made; site_calls: those of one job; slots: of
--        all workers. No row while no worker is alive.
create function fleet_needs(
    out buckets text[], out tokens integer[], out blog_s double precision, out site_rpm double precision,
    out site_calls double precision, out slots bigint
) returns setof record language sql stable as $$
    select
        array(select b.value from jsonb_array_elements_text(w.stats #> '{needs,buckets}') as b),
        array(select json_number(b.value, 1000000)::integer from jsonb_array_elements(w.stats #> '{needs,tokens}') as b),
        json_number(w.stats #> '{needs,blog_s}', 86400),
        json_number(w.stats #> '{needs,site_rpm}', 2147483647),
        json_number(w.stats #> '{needs,site_calls}', 1000),
        (select sum(o.concurrency) from workers as o where o.lease_until > now() and not o.draining)
    from workers as w
    where
        w.lease_until > now()
        and jsonb_typeof(w.stats #> '{needs,buckets}') = 'array'
        and jsonb_typeof(w.stats #> '{needs,tokens}') = 'array'
    order by w.draining, w.name
    limit 1
$$;

-- Everything that waits, which is what counts against the limits of the queue: why, and until when, where that is
-- known; also: the reasons after the first. What its owner put off (SCHEDULED) does not count as waiting.
create view v_waiting as
-- The workers that claim, and the stages that each of them runs; null, or no array: all.
with claimers as (
    select w.stats #> '{needs,stages}' as stages
    from workers as w
    where
        w.lease_until > now()
        and not w.draining
        and not exists (select from quiet_workers as q where q.name = w.name)
),

-- What a claim at each stage depends on: the provider whose breaker counts, and the bucket of its call.
stages as (
    select
        v.stage,
        coalesce(split_part(v.bucket, '/', 1), v.provider) as provider,
        v.bucket,
        now() + make_interval(secs => least(1e9, quota_ahead_s(q, now()))) as goes_at,
        case
            when not exists (select from claimers) then 'no live worker claims jobs'
            when not exists (
                select from claimers as c where coalesce(c.stages ? v.stage or jsonb_typeof(c.stages) <> 'array', true)
            ) then format('no live worker runs stage %s', v.stage)
        end as unserved
    from (
        values
        ('source', 'openai', (select n.buckets[1] from fleet_needs() as n)),
        ('ideas', 'openai', (select n.buckets[1] from fleet_needs() as n)),
        ('content', 'openai', (select n.buckets[2] from fleet_needs() as n)),
        ('image', 'replicate', (select n.buckets[3] from fleet_needs() as n)),
        ('publish', 'wix', null)
    ) as v (stage, provider, bucket)
    left join quotas as q on q.name = v.bucket
)

select
    g.id,
    g.instance_id,
    g.stage,
    g.created_at,
    coalesce(r.kind, 'line') as kind,
    coalesce(r.reason, 'in line') as reason,
    r.until,
    coalesce(r.also, '{}') as also
from blog_generations as g
join sites as s using (instance_id)
join stages as t using (stage)
left join provider_health as h on h.provider = t.provider and h.state <> 'closed'
left join stage_pauses as p on p.stage = g.stage
left join fleet_budget as b on b.stopped_until > now() and g.stage <> 'publish'
left join quotas as o on g.stage = 'publish' and o.name = 'wix/' || g.instance_id
left join lateral (
    select
        c.kind,
        c.reason,
        c.until,
        array_agg(c.reason) over (order by c.n rows between 1 following and unbounded following) as also
    from (
        values
        (
            1,
            'rest',
            g.line is null,
            coalesce(
                'backs off: ' || regexp_replace(
                    regexp_replace(g.error, ', request_id [^ ,)]+', ''), '^(.{99}).{2,}$', '\1…'
                ),
                'not due yet'
            ), -- without the request id, so that equal reasons count as one
            g.run_at
        ),
        (2, 'pause', s.paused_at is not null, 'its site is paused: ' || coalesce(s.pause_reason, 'no reason given'), s.resume_at),
        (3, 'stage_pause', p.stage is not null, format('stage %s is paused: %s', p.stage, p.reason), null),
        (4, 'unserved', t.unserved is not null, t.unserved, null),
        (5, 'budget', b.one is not null, b.stop_reason, b.stopped_until),
        (
            6,
            'breaker',
            h.provider is not null,
            format('the circuit breaker of %s is open: %s', h.provider, coalesce(h.reason, 'no reason given')),
            h.retry_at
        ),
        (7, 'quota', t.goes_at > now() + interval '2 seconds', format('the quota %s is used up', t.bucket), t.goes_at),
        (
            8,
            'site_quota',
            quota_ahead_s(o, now()) > 2,
            'the quota of its site is used up',
            now() + make_interval(secs => least(1e9, quota_ahead_s(o, now())))
        ),
        (9, 'cap', s.at_cap, 'its site has reached its limit of running jobs', s.capped_until),
        (10, 'suspect', g.line = -1, 'suspected of killing its worker: it runs alone', null)
    ) as c (n, kind, holds, reason, until)
    where c.holds
    order by c.n
    limit 1
) as r on true
where g.status = 'PENDING';

-- Estimates ----------------------------------------------------------------------------------------------------------

-- Jobs a minute that the live workers can make of what waits, by the narrowest of: the quotas, their slots, the Wix
-- quotas of so many sites. Null: no worker is alive.
create function fleet_capacity(for_sites bigint) returns double precision language sql stable as $$
    select
        least(
            (select min(60 / f.blog_s) from bucket_needs(n.buckets, n.tokens, clock_timestamp()) as f),
            n.slots * 60 / nullif(n.blog_s, 0),
            greatest(for_sites, 1) * nullif(n.site_rpm, 0) / nullif(n.site_calls, 0)
        )
    from fleet_needs() as n
$$;

-- Seconds until the most blocked of the quotas that jobs need lets a call go.
create function fleet_blocked_s() returns double precision language sql stable as $$
    select coalesce(
        (
            select max(extract(epoch from q.blocked_until - clock_timestamp()))::double precision
            from fleet_needs() as n
            join quotas as q on q.name = any (n.buckets)
            where q.blocked_until > clock_timestamp()
        ),
        0
    )
$$;

-- Jobs a minute to expect: what the fleet can make. If the jobs that ended lately had waited for it, the fleet was
-- busy, and the pace is what it really made. 50 if neither is known.
create function blogs_per_minute() returns double precision language sql stable as $$
    select
        case
            when c.capacity is null then coalesce(nullif(m.a_minute, 0), 50)
            when m.ended >= 20 and m.waited_s > 60 then greatest(0.001, least(m.a_minute, 1.5 * c.capacity))
            else greatest(0.001, c.capacity) -- not 0: it is a divisor
        end
    from (select fleet_capacity(waiting_sites(1000)) as capacity) as c
    cross join (
        select
            count(*) as ended,
            60 * count(*) / greatest(1, extract(epoch from clock_timestamp() - min(l.finished_at)))::double precision
                as a_minute,
            percentile_cont(0.5) within group (order by extract(epoch from l.claimed_at - l.created_at)) as waited_s
        from (
            select g.finished_at, g.claimed_at, g.created_at
            from blog_generations as g
            where g.finished_at > now() - interval '10 minutes'
            order by g.finished_at desc
            limit 200
        ) as l
    ) as m
$$;

create function estimated_wait_minutes(queue_size bigint) returns integer language sql stable as $$
    select least(1000000, ceil(queue_size / blogs_per_minute() + fleet_blocked_s() / 60))::integer
$$;

-- Seconds until the job at this place of its site starts: first what is blocked goes on, then each round serves one
-- job of each site in line, its own included even if it is not in line yet. A site is served no faster than its own
-- Wix quota lets its jobs out.
create function expected_wait_s(place integer) returns double precision language sql stable as $$
    select
        least(1e9, fleet_blocked_s())
        + least(1e9, 60 * greatest(
            least(place * greatest(sites_in_line(1000), 1), greatest(pending_count(10000), place)) / blogs_per_minute(),
            coalesce((select (place - 1) * n.site_calls / nullif(n.site_rpm, 0) from fleet_needs() as n), 0)
        ))
$$;
