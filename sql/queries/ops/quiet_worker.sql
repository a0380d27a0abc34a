-- quiet_worker: let a worker claim nothing. One that is quiet gets the new reason.
-- Takes  name, reason.
-- Gives  name; reason_before: null: it was not quiet; no row if no worker has the name: it may be a typing error.
insert into quiet_workers as q (name, reason)
select w.name, %(reason)s
from workers as w
where w.name = %(name)s
on conflict (name) do update
set reason = excluded.reason
returning q.name, (select o.reason from quiet_workers as o where o.name = q.name) as reason_before; -- as of its start
