-- end_lease: the worker leaves in good order. Jobs it still holds are free for rescue at once.
-- Takes  worker_id uuid.
delete from workers as w where w.worker_id = %(worker_id)s::uuid;
