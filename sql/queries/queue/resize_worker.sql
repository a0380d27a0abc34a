-- resize_worker: a running worker has another number of slots from now on.
-- Takes  worker_id uuid; concurrency.
-- Gives  nothing. No row changes if another incarnation has taken over the name.
-- Locks  the worker's row.
update workers set concurrency = %(concurrency)s where worker_id = %(worker_id)s::uuid;
