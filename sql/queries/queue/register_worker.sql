-- register_worker: begin a lease. A live worker of the same name loses its lease, because its worker_id is replaced.
-- Takes  name, worker_id uuid, host, pid, version, concurrency, lease_s.
-- Gives  one row: replaced boolean: an incarnation of this name had a live lease.
with before as (
    select w.lease_until from workers as w where w.name = %(name)s
),

registered as (
    insert into workers (name, worker_id, host, pid, version, concurrency, lease_until)
    values (
        %(name)s, %(worker_id)s::uuid, %(host)s, %(pid)s, %(version)s, %(concurrency)s,
        now() + make_interval(secs => %(lease_s)s)
    )
    on conflict (name) do update
    set
        worker_id = excluded.worker_id,
        host = excluded.host,
        pid = excluded.pid,
        version = excluded.version,
        concurrency = excluded.concurrency,
        in_flight = 0,
        draining = false,
        started_at = now(),
        lease_until = excluded.lease_until,
        stats = '{}'
    returning name
)

select coalesce((select b.lease_until > now() from before as b), false) as replaced from registered;
