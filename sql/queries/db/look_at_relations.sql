-- look_at_relations: what this role may not do with tables and views of the first schema of the search_path.
-- Takes  names text[]: the tables and views that are looked for.
-- Gives  a row per relation that is there, by name: name; hidden boolean, whether row level security keeps rows of it
--        from the role; lacks text[]: privileges; foreign_owner: whose it is, null where the role may change it.
select
    c.relname::text as name,
    -- A policy that lets the role read and write every row hides none.
    row_security_active(c.oid) and not (
        exists (
            select from pg_policy as p
            where
                p.polrelid = c.oid
                and p.polpermissive
                and p.polcmd = '*'
                and pg_get_expr(p.polqual, p.polrelid) = 'true'
                and coalesce(pg_get_expr(p.polwithcheck, p.polrelid), 'true') = 'true'
                and exists (
                    select from unnest(p.polroles) as r (role)
                    where r.role = 0 or pg_has_role(r.role, 'USAGE')
                )
        )
        and not exists (select from pg_policy as p where p.polrelid = c.oid and not p.polpermissive)
    ) as hidden,
    array(
        select w.privilege
        from unnest(
            case when c.relkind in ('r', 'p') then array['SELECT', 'INSERT', 'UPDATE', 'DELETE'] else array['SELECT'] end
        ) as w (privilege)
        where not has_table_privilege(c.oid, w.privilege)
    ) as lacks,
    case when not pg_has_role(c.relowner, 'USAGE') then pg_get_userbyid(c.relowner)::text end as foreign_owner
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
where n.nspname = current_schema() and c.relname = any (%(names)s::text[])
order by c.relname;
