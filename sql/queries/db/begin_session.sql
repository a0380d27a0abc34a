-- begin_session: set what the program relies on, whatever ALTER ROLE, ALTER DATABASE, postgresql.conf or the
-- environment of libpq say.
-- Takes  pid int: the process id of the server session as the client received it when it connected; plan_cache_mode
--        text: auto, or force_generic_plan for a session that repeats its statements.
-- Gives  one row: direct boolean: no pooler is in between. A pooler gives its own process ids to clients, so the
--        server's process id differs then. settings bigint.
--
-- Column anywhere: set this also behind a pooler. Poolers in transaction mode keep such settings per client (PgBouncer
-- since 1.0). The other settings would stay in a server session that other programs use too, so they are not set behind
-- a pooler; inspect_server.sql reports the wrong ones. The search_path is never set, because it decides whose tables
-- are used.
with wanted (name, value, anywhere) as (
    values
    ('DateStyle', 'ISO, MDY', true), -- the driver reads only this format
    ('TimeZone', 'UTC', true),
    ('standard_conforming_strings', 'on', true),
    ('IntervalStyle', 'postgres', false), -- the driver reads only this format
    ('check_function_bodies', 'on', false), -- off means to our triggers that a dump is being restored
    ('array_nulls', 'on', false), -- off: a null in an array that we send becomes the text NULL
    ('extra_float_digits', '1', false), -- with less, a number changes when it is read and sent back
    ('default_transaction_isolation', 'read committed', false), -- claims read rows again after they have locked them
    ('default_transaction_deferrable', 'off', false),
    ('plan_cache_mode', %(plan_cache_mode)s, false),
    ('gin_fuzzy_search_limit', '0', false), -- with a limit, similar titles are found at random
    ('transform_null_equals', 'off', false),
    ('statement_timeout', '0', false), -- callers have their own limits
    ('lock_timeout', '0', false),
    ('idle_in_transaction_session_timeout', '0', false),
    ('idle_session_timeout', '0', false), -- since Postgres 14
    ('transaction_timeout', '0', false) -- since Postgres 17
)

select
    pg_backend_pid() = %(pid)s::integer as direct,
    count(set_config(w.name, w.value, false)) as settings
from wanted as w
where
    (w.anywhere or pg_backend_pid() = %(pid)s::integer)
    and current_setting(w.name, true) is not null; -- null: this server does not know it
