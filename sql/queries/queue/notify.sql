-- notify: tell all that listen.
-- Takes  payload.
select pg_notify('blogworker_jobs', %(payload)s);
