-- resume_worker: let a worker claim again.
-- Takes  name.
-- Gives  name, reason: why it was quiet; no row if it is not quiet.
delete from quiet_workers as q
where q.name = %(name)s
returning q.name, q.reason;
