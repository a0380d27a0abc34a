-- claim_suspect: claim one job that is suspected of killing its workers, for a worker without other jobs.
-- Takes  worker_id uuid: if its lease has ended or it is quiet, nothing is claimed; stages text[]: only a job whose next stage is one
--        of these, null = any.
-- Gives  no row, or one like a job's row of claim.sql.
-- Locks  the job and its site, skipping those that other transactions have locked.
with chosen as (
    select g.id
    from blog_generations as g
    join sites as s using (instance_id)
    where
        is_suspect(g)
        and g.attempt < 2000000000
        and (%(stages)s::text[] is null or g.stage = any (%(stages)s::text[]))
        and s.paused_at is null
        and (s.max_in_flight is null or site_in_flight(s.instance_id) < s.max_in_flight)
        and exists (
            select
            from workers as k
            where
                k.worker_id = %(worker_id)s::uuid
                and k.lease_until > now()
                and not exists (select from quiet_workers as q where q.name = k.name)
        )
        and not exists (
            select from blog_generations as h where h.status = 'PROCESSING' and h.worker_id = %(worker_id)s::uuid
        )
    order by g.claimed_at nulls first, g.run_at -- a job that has to wait goes behind the others
    limit 1
    for no key update of g, s skip locked
),

claimed as (
    update blog_generations as g
    set status = 'PROCESSING', attempt = g.attempt + 1, worker_id = %(worker_id)s::uuid, charged = s.turn_cost
    from chosen as c, sites as s
    where g.id = c.id and s.instance_id = g.instance_id
    returning g.*
),

charged as (
    update sites as s
    set virtual_time = least(1e15, s.virtual_time + s.turn_cost / s.weight)
    from claimed as c
    where s.instance_id = c.instance_id
)

select
    c.id as job_id,
    c.instance_id,
    c.attempt,
    c.failures,
    c.max_attempts,
    c.stage,
    c.source_type,
    c.source_id,
    c.source_data,
    c.created_at,
    s.virtual_time as served_at,
    s.settings as site,
    c.publish_mode,
    extract(epoch from p.publish_at - now())::double precision as publish_in_s
from claimed as c
join sites as s using (instance_id)
left join scheduled_blogs as p on p.blog_generation_id = c.id;
