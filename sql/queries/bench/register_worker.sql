-- register_worker: register a worker with a lease of a day.
-- Takes  name; worker_id uuid.
insert into workers (name, worker_id, host, pid, version, concurrency, lease_until)
values (%(name)s, %(worker_id)s::uuid, 'bench', 1, 'bench', 100, now() + interval '1 day')
on conflict (name) do update set worker_id = excluded.worker_id, lease_until = excluded.lease_until;
