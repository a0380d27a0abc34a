-- audit: the changes, the newest first.
-- Takes  target: only changes of this, null: all; actor: only by this one, null: all; before_id: only ids below this one,
--        null: all; most.
-- Gives  rows: audit_id, at, actor, via, db_role, action, target, before, after.
select a.audit_id, a.at, a.actor, a.via, a.db_role, a.action, a.target, a.before, a.after
from audit as a
where
    (%(target)s::text is null or a.target = %(target)s)
    and (%(actor)s::text is null or a.actor = %(actor)s)
    and (%(before_id)s::bigint is null or a.audit_id < %(before_id)s)
order by a.audit_id desc
limit %(most)s::bigint;
