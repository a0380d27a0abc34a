-- present: which of these roles the server has.
-- Takes  roles text[].
-- Gives  name of each.
select p.rolname::text as name from pg_roles as p where p.rolname = any (%(roles)s::text[]) order by p.rolname;
