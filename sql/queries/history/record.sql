-- record: record the minutes that ended at least ten seconds ago and are not recorded yet, the last hour at most, and
-- delete what is older than seven days. Workers run it every minute; all but the first of them find nothing to do.
-- Takes  sample: so many jobs of a minute, the latest ones, are read for the durations of stages.
-- Gives  one row: recorded: number of minutes.
-- Plan   blog_generations_finished_idx.
with due as materialized (
    select m.minute
    from generate_series(
        greatest(
            (select max(h.minute) from history as h) + interval '1 minute',
            date_trunc('minute', now() - interval '10 seconds') - interval '1 hour'
        ),
        date_trunc('minute', now() - interval '10 seconds') - interval '1 minute',
        interval '1 minute'
    ) as m (minute)
),

minutes as (
    insert into history (
        minute, done, failed, cancelled, pending, wait_p50_s, wait_p95_s, total_p50_s, total_p95_s
    )
    select
        d.minute,
        e.done,
        e.failed,
        e.cancelled,
        case when d.minute > now() - interval '3 minutes' then pending_count(1000000) end,
        e.wait[1],
        e.wait[2],
        e.total[1],
        e.total[2]
    from due as d
    cross join lateral (
        select
            count(*) filter (where g.status = 'DONE') as done,
            count(*) filter (where g.status = 'FAILED') as failed,
            count(*) filter (where g.status = 'CANCELLED') as cancelled,
            percentile_cont(array[0.5, 0.95]) within group (
                order by greatest(0, extract(epoch from g.claimed_at - greatest(g.created_at, g.run_at))::double precision)
            ) filter (where g.status = 'DONE') as wait,
            percentile_cont(array[0.5, 0.95]) within group (
                order by greatest(0, extract(epoch from g.finished_at - greatest(g.created_at, g.run_at))::double precision)
            ) filter (where g.status = 'DONE') as total
        from blog_generations as g
        where g.finished_at >= d.minute and g.finished_at < d.minute + interval '1 minute'
    ) as e
    on conflict do nothing
    returning minute
),

stages as (
    insert into history_stages (minute, stage, jobs, p50_s, p95_s)
    select
        m.minute,
        s.stage,
        count(*),
        percentile_cont(0.5) within group (order by s.duration_s),
        percentile_cont(0.95) within group (order by s.duration_s)
    from minutes as m
    cross join lateral (
        select g.id
        from blog_generations as g
        where
            g.finished_at >= m.minute
            and g.finished_at < m.minute + interval '1 minute'
            and g.status = 'DONE'
        order by g.finished_at desc
        limit %(sample)s::bigint
    ) as j
    cross join lateral (
        select c.stage, c.duration_s
        from generation_stages as c
        where
            c.generation_id = j.id
            and c.stage in ('source', 'ideas', 'content', 'image', 'publish')
            and c.duration_s is not null
        offset 0 -- forces one index lookup per job, as in ops/metrics_stages
    ) as s
    group by m.minute, s.stage
),

old as (
    delete from history as h where h.minute < now() - interval '7 days'
)

select count(*) as recorded from minutes;
