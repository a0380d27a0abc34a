-- end_lease_of: end the lease of a worker that is known to be dead, so that its jobs can be rescued at once.
-- Takes  name.
delete from workers as w where w.name = %(name)s;
