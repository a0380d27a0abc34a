-- inspect_relations: which privileges on tables and views of the first schema of the search_path this role lacks.
-- Takes  names text[]: the tables and views to look for; reads boolean: SELECT is needed on each; relations,
--        privileges, columns text[] (same order): the other privileges that are needed, see grants.py.
-- Gives  a row per relation that exists: name; hidden boolean: row level security hides rows of it from the role; lacks
--        text[]: missing privileges; readable boolean; foreign_owner: the owner's name, null if the role may alter the
--        relation.
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
        select 'SELECT' where %(reads)s::boolean and not has_table_privilege(c.oid, 'SELECT')
        union all
        select w.privilege
        from unnest(%(relations)s::text[], %(privileges)s::text[], %(columns)s::text[]) as w (relation, privilege, columns)
        where
            w.relation = c.relname
            and not has_table_privilege(c.oid, w.privilege)
            and (
                w.columns = ''
                or exists (
                    select
                    from unnest(string_to_array(w.columns, ' ')) as n (name)
                    where not has_column_privilege(c.oid, n.name, w.privilege)
                )
            )
    ) as lacks,
    has_table_privilege(c.oid, 'SELECT') as readable,
    case when not pg_has_role(c.relowner, 'USAGE') then pg_get_userbyid(c.relowner)::text end as foreign_owner
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
where n.nspname = current_schema() and c.relname = any (%(names)s::text[])
order by c.relname;
