-- notify: notify all listeners.
-- Takes  payload.
select pg_notify('blogworker_jobs', %(payload)s);
