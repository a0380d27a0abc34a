-- inspect_server: the facts that decide whether the program can use this server, session and schema.
-- Gives  one row: version int, as server_version_num, version_name; encoding; standby, read_only boolean; role; schema,
--        null: none can be used; wanted: the schema that the search_path names first, null if it is the role's own
--        schema or empty; may_create boolean: in the schema; wrong_settings: settings that begin_session.sql could not
--        correct, as `name = value` with the required value.
select
    current_setting('server_version_num')::integer as version,
    current_setting('server_version') as version_name,
    getdatabaseencoding() as encoding,
    pg_is_in_recovery() as standby,
    current_setting('transaction_read_only') = 'on' as read_only,
    current_user::text as role,
    current_schema()::text as schema,
    case when p.entry like '"%' then replace(btrim(p.entry, '"'), '""', '"') else lower(p.entry collate "C") end as wanted,
    coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) as may_create,
    array(
        select r.name || ' = ' || quote_literal(r.value)
        from (
            values
            ('session_replication_role', 'origin'), -- otherwise triggers do not fire
            ('default_transaction_isolation', 'read committed'),
            ('IntervalStyle', 'postgres'),
            ('array_nulls', 'on'),
            ('check_function_bodies', 'on'), -- otherwise triggers treat inserted rows as a restored dump
            ('DateStyle', 'ISO, MDY'),
            ('standard_conforming_strings', 'on')
        ) as r (name, value)
        where current_setting(r.name) <> r.value
        union all
        select t.name || ' = 0'
        from (values ('statement_timeout'), ('idle_in_transaction_session_timeout')) as t (name)
        where current_setting(t.name) <> '0' and current_setting(t.name)::interval < interval '1 second'
        union all
        select 'extra_float_digits = 1' where current_setting('extra_float_digits')::integer < 1
    ) as wrong_settings
from (
    -- The first entry, or the second where the first is the role's own schema, which need not exist.
    select nullif(
        btrim(
            substring(
                regexp_replace(current_setting('search_path'), '^\s*("\$user"|\$user)\s*,?', '')
                from '^\s*("(?:[^"]|"")*"|[^",]*)'
            )
        ),
        ''
    ) as entry
) as p;
