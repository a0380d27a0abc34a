-- create: the statements that create the missing group roles. Nobody logs in as one; logins become members of it.
-- Takes  roles text[].
-- Gives  name, statement of each.
select r.name, format('create role %%I nologin', r.name) as statement
from unnest(%(roles)s::text[]) with ordinality as r (name, place)
where not exists (select from pg_roles as p where p.rolname = r.name)
order by r.place;
