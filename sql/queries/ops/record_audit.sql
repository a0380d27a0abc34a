-- record_audit: remember a change.
-- Takes  actor, via, action, target (null: everything), before jsonb, after jsonb (null: nothing).
insert into audit (actor, via, action, target, before, after)
values (%(actor)s, %(via)s, %(action)s, %(target)s, %(before)s::jsonb, %(after)s::jsonb);
