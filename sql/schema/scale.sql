-- Scale: how many workers the waiting jobs need. `blogworker autoscale` and KEDA act on it.

-- What autoscale has decided on each host, so that it knows how the need was in the last minutes. Kept for a day.
create table scalings (
    host text not null,
    at timestamptz not null default clock_timestamp(),
    workers integer not null, -- that ran
    wanted integer not null, -- its part of v_scale.workers_wanted, before limits and cooldown
    target integer not null, -- that it made run

    primary key (host, at),
    constraint host_is_bounded check (length(host) <= 300),
    constraint counts_are_bounded check (
        workers between 0 and 1000000 and wanted between 0 and 1000000 and target between 0 and 1000000
    ),
    constraint times_are_date_times check (
        at between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    )
);

-- How many workers the jobs need: what arrives fills four fifths of their slots (by Little's law), and what waits is done
-- within drain_s besides; never fewer than the running jobs fill.
-- Takes  workers and slots that are alive, busy: running jobs; claimable: jobs that only wait for a slot; arriving:
--        jobs a minute, ended: likewise; blog_s: seconds of a job; quota_a_minute: jobs that the narrowest quota lets
--        through, null: any; oldest_wait_s: of the next jobs.
-- Gives  wanted; limited_by: why it is not more, null: nothing limits it. quota: more workers could not use more of it;
--        free slots: a tenth of the slots or more are free although jobs wait, so the slots are not what they wait for,
--        but for the quota of their site, for a probe, or for a worker that has just started. Then it is at most what
--        runs now.
create function workers_needed(
    workers bigint, slots bigint, busy bigint, claimable bigint, arriving double precision, ended double precision,
    blog_s double precision, quota_a_minute double precision, oldest_wait_s double precision, drain_s double precision,
    out wanted integer, out limited_by text
) language sql immutable as $$
    select
        greatest(
            least(ceil(busy / k.per_worker), workers), -- jobs that run keep their slots
            least(n.needed, n.useful, case when n.idle then workers end)
        )::integer,
        case
            when n.needed > least(n.useful, case when n.idle then workers end)
                then case
                    when
                        n.idle
                        and coalesce(n.useful > workers, true)
                        and coalesce(ended < 0.8 * k.quota_a_minute, true)
                        then 'free slots'
                    else 'quota'
                end
        end
    -- Other programs write some of the figures: products of the smallest numbers would underflow.
    from (
        select
            case
                when workers > 0 and slots > 0 then greatest(1, slots::double precision / workers) else 50
            end as per_worker,
            greatest(blog_s, 0.001) as blog_s,
            case when arriving > 0.001 then arriving else 0 end as arriving,
            case when quota_a_minute is not null then greatest(quota_a_minute, 0.001) end as quota_a_minute
    ) as k
    cross join lateral (
        select
            least(100000, greatest(
                ceil(
                    greatest(
                        busy,
                        k.arriving / 60 * k.blog_s / 0.8 + (claimable + busy) * k.blog_s / drain_s
                    ) / k.per_worker
                ),
                case when claimable > 0 then 1 end,
                case when claimable > 0 and oldest_wait_s > drain_s then workers + 1 end
            )) as needed,
            case
                when k.quota_a_minute is not null
                    then greatest(1, ceil(k.quota_a_minute / 60 * k.blog_s * 1.25 / k.per_worker))
            end as useful,
            workers > 0 and claimable > 0 and busy < 0.9 * slots as idle
    ) as n
$$;

-- One row: the need for workers, and what it follows from. Counts stop at 10,000, at the 1,000 sites at the head of the
-- line. stopped_by: why no new job may start, null: one may. A metric and `status` show it, so it costs the same with
-- any backlog.
create view v_scale as
with stages as (
    select
        v.line,
        case
            when p.stage is not null then format('stage %s is paused: %s', p.stage, p.reason)
            when b.one is not null and v.line < 4 then b.stop_reason
            when h.provider is not null
                then format('the circuit breaker of %s is open: %s', h.provider, coalesce(h.reason, 'no reason given'))
        end as closed
    from fleet_needs() as n
    right join (
        values (0, 'source', 'openai', 1), (1, 'ideas', 'openai', 1), (2, 'content', 'openai', 2),
        (3, 'image', 'replicate', 3), (4, 'publish', 'wix', null)
    ) as v (line, stage, provider, bucket) on true
    left join provider_health as h
        on h.provider = coalesce(split_part(n.buckets[v.bucket], '/', 1), v.provider) and h.state <> 'closed'
    left join stage_pauses as p on p.stage = v.stage
    left join fleet_budget as b on b.stopped_until > now()
),

open_lines as materialized (
    select coalesce(array_agg(s.line::smallint), '{}') as lines from stages as s where s.closed is null
),

fleet as (
    select
        count(*) filter (where not w.draining) as workers,
        coalesce(sum(w.concurrency) filter (where not w.draining), 0)::bigint as slots
    from workers as w
    where w.lease_until > now() and not exists (select from quiet_workers as q where q.name = w.name)
),

-- Both in the last minutes that were recorded: what ended, and by how much the queue grew.
lately as (
    select
        sum(h.ended) / count(*) as ended,
        (
            sum(h.ended) - (array_agg(h.ended order by h.minute))[1]
            + (array_agg(h.pending order by h.minute desc))[1] - (array_agg(h.pending order by h.minute))[1]
        ) / nullif(extract(epoch from max(h.minute) - min(h.minute)) / 60, 0) as arrived
    from (
        select m.minute, m.pending, m.done + m.failed + m.cancelled as ended
        from history as m
        where m.minute > now() - interval '10 minutes' and m.pending is not null
        order by m.minute desc
        limit 6
    ) as h
),

facts as (
    select
        f.workers,
        f.slots,
        (
            select count(*)
            from (
                select from blog_generations as g where g.status = 'PROCESSING' order by g.worker_id limit 10000
            ) as p
        ) as busy,
        pending_count(10000) as waiting,
        (
            select count(*)
            from (
                select
                from (
                    select s.instance_id, s.max_in_flight
                    from sites as s
                    where is_in_line(s)
                    order by s.virtual_time, s.ready_at desc
                    limit 1000
                ) as s
                cross join lateral (
                    select
                    from blog_generations as g
                    where g.instance_id = s.instance_id and is_claimable(g) and g.line = any (o.lines)
                    limit least(10000, s.max_in_flight)
                ) as j
                limit 10000
            ) as c
        ) as claimable,
        (
            select extract(epoch from now() - min(j.since))::double precision
            from (
                select s.instance_id
                from sites as s
                where is_in_line(s)
                order by s.virtual_time, s.ready_at desc
                limit 100
            ) as s
            cross join lateral (
                select greatest(g.run_at, g.created_at) as since
                from blog_generations as g
                where g.instance_id = s.instance_id and is_claimable(g) and g.line = any (o.lines)
                order by g.line desc, g.priority desc, g.id
                limit 1
            ) as j
        ) as oldest_wait_s,
        (case when 0 = any (o.lines) then greatest(0, coalesce(l.arrived, 0)) else 0 end)::double precision
            as arriving_a_minute,
        coalesce(l.ended, 0)::double precision as ended_a_minute,
        coalesce(n.blog_s, 60) as blog_s,
        (select min(60 / nullif(b.blog_s, 0)) from bucket_needs(n.buckets, n.tokens, clock_timestamp()) as b)
            as quota_a_minute,
        (select s.closed from stages as s where s.line < 3 and s.closed is not null order by s.line limit 1)
            as stopped_by
    from fleet as f
    cross join lately as l
    cross join open_lines as o
    left join fleet_needs() as n on true
)

select f.*, w.wanted as workers_wanted, w.limited_by
from (
    select
        a.workers,
        a.slots,
        a.busy,
        a.waiting,
        -- Only workers put sites in line.
        case
            when a.workers = 0 and a.stopped_by is null then greatest(a.claimable, a.waiting) else a.claimable
        end as claimable,
        a.oldest_wait_s,
        a.arriving_a_minute,
        a.ended_a_minute,
        a.blog_s,
        a.quota_a_minute,
        a.stopped_by
    from facts as a
) as f
cross join lateral workers_needed(
    f.workers, f.slots, f.busy, f.claimable, f.arriving_a_minute, f.ended_a_minute, f.blog_s, f.quota_a_minute,
    f.oldest_wait_s, 600
) as w;
