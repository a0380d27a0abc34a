-- settle: end attempts, many in one statement.
-- Takes  worker_id uuid; outcomes jsonb: an array of objects: job_id, attempt, status, delay_s (until run_at; 0 keeps
--        it), spent (counts against max_attempts), error, failure (a row for generation_errors, or null).
-- Gives  job_id, status of each attempt settled; status null: another transaction has locked the row, send it again. A
--        missing attempt was lost: another worker has the job.
-- Locks  the named jobs, in id order, skipping those that other transactions have locked.
--
-- It also writes a bill for each site of these jobs, which reconcile_sites books.
with outcomes as (
    select o.*
    from jsonb_to_recordset(%(outcomes)s::jsonb) as o (
        job_id bigint, attempt integer, status text, delay_s double precision, spent boolean, error text, failure jsonb
    )
),

locked as (
    select g.id, o.*
    from blog_generations as g
    join outcomes as o on is_attempt(g, o.job_id, o.attempt, %(worker_id)s)
    order by g.id
    for update of g skip locked
),

settled as (
    update blog_generations as g
    set
        status = case
            when h.spent and g.failures + 1 >= g.max_attempts then 'FAILED'
            else h.status
        end,
        failures = least(1000000000, g.failures + h.spent::integer),
        run_at = case
            when h.delay_s > 0 then now() + make_interval(secs => h.delay_s)
            else g.run_at
        end,
        error = h.error,
        -- The rest as guard_update would: it is not called for a DONE job then, and corrects the others.
        worker_id = null,
        line = null,
        finished_at = case when h.status = 'DONE' then now() end
    from locked as h
    where g.id = h.id
    returning g.id, g.attempt, g.status, g.instance_id, g.charged, h.failure
),

recorded as (
    insert into generation_errors (
        generation_id, attempt, stage, kind, message, provider, status, code, request_id, retryable
    )
    select s.id, s.attempt, f.stage, f.kind, f.message, f.provider, f.status, f.code, f.request_id, s.status <> 'FAILED'
    from settled as s
    cross join lateral jsonb_to_record(s.failure) as f (
        stage text, kind text, message text, provider text, status integer, code text, request_id text
    )
    where s.failure is not null
),

-- The claim charged an estimate. A DONE attempt costs what it used, at least a tenth of a post. A job that is requeued
-- without an error (no quota left, or released) costs what it used. Any other end costs at least the estimate,
-- otherwise a site with bad jobs only would stay at the head of the line.
billed as (
    insert into site_bills (instance_id, correction, blogs, blogs_cost)
    select
        s.instance_id,
        greatest(
            -1000000,
            least(
                1000000,
                sum(
                    case
                        when s.status = 'DONE' then greatest(u.now, 0.1)
                        when s.status in ('SCHEDULED', 'PENDING') and s.failure is null then u.now
                        else greatest(u.now, s.charged)
                    end - s.charged
                )
            )
        ),
        count(*) filter (where s.status = 'DONE' and u.in_all > 0),
        coalesce(sum(u.in_all) filter (where s.status = 'DONE' and u.in_all > 0), 0)
    from settled as s
    cross join lateral (
        select
            least(100000, coalesce(sum(c.tokens_in + c.tokens_out), 0) / standard_blog_tokens()) as in_all,
            least(
                100000,
                coalesce(sum(c.tokens_in + c.tokens_out) filter (where c.attempt = s.attempt), 0)
                / standard_blog_tokens()
            ) as now
        from generation_stages as c
        where c.generation_id = s.id
    ) as u
    where s.charged is not null
    group by s.instance_id
)

select s.id as job_id, s.status from settled as s
union all
-- The outcome is sent again because the first answer was lost: only this worker could end this attempt as DONE.
select g.id, g.status
from outcomes as o
join blog_generations as g on g.id = o.job_id and g.attempt = o.attempt
where o.status = 'DONE' and g.status = 'DONE'
union all
select g.id, null
from outcomes as o
join blog_generations as g on is_attempt(g, o.job_id, o.attempt, %(worker_id)s)
where g.id not in (select h.id from locked as h);
