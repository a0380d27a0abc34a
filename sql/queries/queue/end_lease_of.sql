-- end_lease_of: a worker is known to have died: its jobs are free for rescue at once.
-- Takes  name.
delete from workers as w where w.name = %(name)s;
