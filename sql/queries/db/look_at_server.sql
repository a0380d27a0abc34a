-- look_at_server: what decides whether the program can work on this server, in this session, in this schema.
-- Gives  one row: version int, as server_version_num, version_name; encoding; standby, read_only boolean; role; schema,
--        null: none can be used; wanted: the schema that the search_path names first, null where that is the role's own
--        or empty; may_create boolean: in the schema; unfit: settings that begin_session.sql could not make what the
--        program relies on, as `name = value`, each as it has to be.
select
    current_setting('server_version_num')::integer as version,
    current_setting('server_version') as version_name,
    getdatabaseencoding() as encoding,
    pg_is_in_recovery() as standby,
    current_setting('transaction_read_only') = 'on' as read_only,
    current_user::text as role,
    current_schema()::text as schema,
    case when p.entry like '"%' then replace(btrim(p.entry, '"'), '""', '"') else lower(p.entry) end as wanted,
    coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) as may_create,
    array(
        select r.name || ' = ' || quote_literal(r.value)
        from (
            values
            ('session_replication_role', 'origin'), -- else triggers do not fire
            ('default_transaction_isolation', 'read committed'),
            ('IntervalStyle', 'postgres'),
            ('array_nulls', 'on'),
            ('check_function_bodies', 'on'), -- else triggers take what is inserted for a dump
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
    ) as unfit
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
