-- tail: what happened to one job, or to the jobs of one site, since a moment, oldest first.
-- Takes  job_id, null: the jobs of a site that run, have ended or failed an attempt since, or wait in the middle of
--        their work; instance_id, null: of all sites; since timestamptz: only later events; after_at, after_job,
--        after_event, after_attempt, after_detail, null: only what is listed after this event; most.
-- Gives  rows: at, job_id, instance_id, event (the name of a checkpoint, `error`, or the status of a job that ended),
--        attempt, detail; now: the time of this answer.
-- Plan   the primary key; or blog_generations_in_flight_idx, blog_generations_finished_idx, generation_errors_created_idx,
--        and blog_generations_part_done_idx and blog_generations_resting_idx, because checkpoints have no index by time;
--        then the checkpoints and the errors of each job.
with chosen as (
    select g.id, g.instance_id, g.status, g.finished_at, g.attempt, g.error
    from blog_generations as g
    where g.id = %(job_id)s::bigint
    union all
    select a.id, a.instance_id, a.status, a.finished_at, a.attempt, a.error
    from (
        select g.id, g.instance_id, g.status, g.finished_at, g.attempt, g.error
        from blog_generations as g
        where g.status = 'PROCESSING'
        union
        select g.id, g.instance_id, g.status, g.finished_at, g.attempt, g.error
        from blog_generations as g
        where g.finished_at > %(since)s::timestamptz
        union
        select g.id, g.instance_id, g.status, g.finished_at, g.attempt, g.error
        from blog_generations as g
        where
            g.id = any (
                array(select l.generation_id from generation_errors as l where l.created_at > %(since)s::timestamptz)
            ) -- as a join, many errors would make the planner scan the table
        union
        select g.id, g.instance_id, g.status, g.finished_at, g.attempt, g.error
        from blog_generations as g
        where g.status = 'PENDING' and g.line > 0
        union
        select g.id, g.instance_id, g.status, g.finished_at, g.attempt, g.error
        from blog_generations as g
        where g.status = 'PENDING' and g.line is null
    ) as a
    where %(job_id)s::bigint is null and (%(instance_id)s::text is null or a.instance_id = %(instance_id)s)
)

select e.at, c.id as job_id, c.instance_id, e.event, e.attempt, e.detail, clock_timestamp() as now
from chosen as c
cross join lateral (
    select
        s.created_at as at,
        s.stage as event,
        s.attempt,
        concat_ws(
            ', ',
            round(s.duration_s::numeric, 1) || ' s',
            s.model,
            case when s.tokens_in + s.tokens_out > 0 then s.tokens_in + s.tokens_out || ' tokens' end,
            usd_text(s.cost_usd)
        ) as detail
    from generation_stages as s
    where s.generation_id = c.id and s.created_at > %(since)s::timestamptz
    union all
    select l.created_at, 'error', l.attempt, concat_ws(' ', l.kind, 'in', l.stage || ':', l.message)
    from generation_errors as l
    where l.generation_id = c.id and l.created_at > %(since)s::timestamptz
    union all
    select c.finished_at, c.status, c.attempt, coalesce(c.error, '')
    where c.finished_at > %(since)s::timestamptz and c.status in ('DONE', 'FAILED', 'CANCELLED')
) as e
where
    %(after_at)s::timestamptz is null
    or (e.at, c.id, e.event, e.attempt, e.detail) > (
        %(after_at)s::timestamptz,
        %(after_job)s::bigint,
        %(after_event)s::text,
        %(after_attempt)s::integer,
        %(after_detail)s::text
    )
order by e.at, c.id, e.event, e.attempt, e.detail
limit %(most)s::bigint;
