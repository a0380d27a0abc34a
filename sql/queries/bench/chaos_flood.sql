-- chaos_flood: notify the workers with unknown payloads and one known payload.
-- Takes  notifications: their number. The payloads differ, because Postgres sends equal ones of a transaction once.
-- Gives  one row: sent.
select count(pg_notify('blogworker_jobs', case when n = 1 then 'cancel' else gen_random_uuid()::text end)) as sent
from generate_series(1, %(notifications)s::integer) as n;
