-- audit: the changes, the newest first.
-- Takes  target: only changes of this, null: all; `job 3` also finds the changes of several jobs that list its id;
--        actor: only by this one, null: all; before_id: only ids below this one, null: all; most.
-- Gives  rows: audit_id, at, actor, via, db_role, action, target, before, after.
select a.audit_id, a.at, a.actor, a.via, a.db_role, a.action, a.target, a.before, a.after
from audit as a
where
    (
        %(target)s::text is null
        or a.target = %(target)s
        or (
            a.target is null
            and a.after -> 'ids' @> to_jsonb(substring(%(target)s::text from '^job ([1-9][0-9]{0,18})$')::numeric)
        )
    )
    and (%(actor)s::text is null or a.actor = %(actor)s)
    and (%(before_id)s::bigint is null or a.audit_id < %(before_id)s)
order by a.audit_id desc
limit %(most)s::bigint;
