-- extend_lease: extend a worker's lease. One row covers all its jobs.
-- Takes  worker_id uuid; lease_s; in_flight; draining; stats jsonb.
-- Gives  one row; no row if another incarnation has taken over the name: extended boolean: false if the lease had
--        ended; cancelled bigint[]: its jobs that a person has cancelled.
with extended as (
    update workers as w
    set
        lease_until = now() + make_interval(secs => %(lease_s)s),
        in_flight = %(in_flight)s,
        draining = %(draining)s or exists (select from quiet_workers as q where q.name = w.name),
        stats = %(stats)s::jsonb
    where w.worker_id = %(worker_id)s::uuid and w.lease_until > now()
    returning w.worker_id
)

select
    exists (select from extended) as extended,
    array(
        select g.id
        from blog_generations as g
        where g.worker_id = w.worker_id and g.status = 'PROCESSING' and g.cancel_requested_at is not null
    ) as cancelled
from workers as w
where w.worker_id = %(worker_id)s::uuid;
