-- foreign_names: find objects in the first schema of the search_path that have the names of our functions, types or
-- indexes.
-- Takes  functions text[]; relations text[].
-- Gives  rows: kind; name.
select 'function' as kind, p.proname::text as name
from pg_proc as p
join pg_namespace as n on n.oid = p.pronamespace
where n.nspname = current_schema() and p.proname = any (%(functions)s::text[])
union
select 'type', t.typname::text
from pg_type as t
join pg_namespace as n on n.oid = t.typnamespace
where n.nspname = current_schema() and t.typname = any (%(relations)s::text[]) and t.typrelid = 0
order by kind, name;
