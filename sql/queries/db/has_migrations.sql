-- has_migrations: was this database ever migrated? Looks only where unqualified names would be created.
select exists (
    select from pg_class as c
    where c.relname = 'schema_migrations' and c.relnamespace = current_schema()::regnamespace
) as present;
