-- extend_lease: the worker lives. One row covers all its jobs.
-- Takes  worker_id uuid; lease_s; in_flight; draining; stats jsonb.
-- Gives  one row, or none when the lease has ended or another incarnation of the name has taken over.
update workers as w
set
    lease_until = now() + make_interval(secs => %(lease_s)s),
    in_flight = %(in_flight)s,
    draining = %(draining)s,
    stats = %(stats)s::jsonb
where w.worker_id = %(worker_id)s::uuid and w.lease_until > now()
returning w.name;
