-- has_migrations: was this database ever migrated? Checks only the schema in which unqualified names are created.
-- Gives  one row: present boolean; foreign_table boolean: another program has a table of that name.
select
    c.oid is not null as present,
    c.oid is not null and 4 > (
        select count(*)
        from pg_attribute as a
        where a.attrelid = c.oid and a.attname in ('version', 'name', 'checksum', 'applied_at') and not a.attisdropped
    ) as foreign_table
from (select) as one
left join (
    pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace and n.nspname = current_schema()
) on c.relname = 'blogworker_migrations' and c.relkind in ('r', 'p', 'v', 'm', 'f');
