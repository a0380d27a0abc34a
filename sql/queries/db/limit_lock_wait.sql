-- limit_lock_wait: a migration that cannot have its lock fails, rather than queueing everybody behind itself.
-- Takes  wait: with its unit; within boolean: for the transaction under way only, or the session.
select set_config('lock_timeout', %(wait)s, %(within)s);
