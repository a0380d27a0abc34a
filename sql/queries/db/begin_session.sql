-- begin_session: set what the program relies on, whatever ALTER ROLE, ALTER DATABASE, postgresql.conf or the
-- environment of libpq say.
-- Takes  pid int: the process id that the client was told when it connected.
-- Gives  one row: direct boolean, whether the server session is the client's own. A pooler hands out process ids of its
--        own: where the server knows the session by another, one is between. settings bigint.
--
-- anywhere: poolers in transaction mode keep these for each client (PgBouncer does so since 1.0). The others would stay
-- with a server session that serves other programs too, so they are left alone there: look_at_server.sql finds what is
-- unfit. The search_path is never touched: it says whose tables are meant.
with wanted (name, value, anywhere) as (
    values
    ('DateStyle', 'ISO, MDY', true), -- the driver reads no other
    ('TimeZone', 'UTC', true),
    ('standard_conforming_strings', 'on', true),
    ('IntervalStyle', 'postgres', false), -- the driver reads no other
    ('check_function_bodies', 'on', false), -- off: the triggers take the session for one that restores a dump
    ('array_nulls', 'on', false), -- off: a null in an array that we send is the word NULL
    ('extra_float_digits', '1', false), -- less: a number read and sent back is another number
    ('default_transaction_isolation', 'read committed', false), -- claims look again after they have locked
    ('default_transaction_deferrable', 'off', false),
    ('plan_cache_mode', 'auto', false),
    ('gin_fuzzy_search_limit', '0', false), -- else a like title is found at random
    ('transform_null_equals', 'off', false),
    ('statement_timeout', '0', false), -- callers have limits of their own
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
