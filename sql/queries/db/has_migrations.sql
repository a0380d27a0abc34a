-- has_migrations: was this database ever migrated? Looks only where unqualified names would be created.
select exists (
    select from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    where c.relname = 'blogworker_migrations' and n.nspname = current_schema()
) as present;
