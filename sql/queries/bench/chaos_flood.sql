-- chaos_flood: notifications of the workers' channel with payloads that nobody knows, and one that workers do.
-- Takes  notifications: how many. Equal ones of one transaction would be sent once.
select count(pg_notify('blogworker_jobs', case when n = 1 then 'cancel' else gen_random_uuid()::text end)) as sent
from generate_series(1, %(notifications)s::integer) as n;
