-- end_lease: end the lease of a worker that exits normally. Jobs that it still has can be rescued at once.
-- Takes  worker_id uuid.
delete from workers as w where w.worker_id = %(worker_id)s::uuid;
