-- limit_lock_wait: limit how long a migration waits for a lock, because other transactions queue behind it meanwhile.
-- Takes  wait: with its unit; within boolean: for the current transaction only, or for the session.
select set_config('lock_timeout', %(wait)s, %(within)s);
