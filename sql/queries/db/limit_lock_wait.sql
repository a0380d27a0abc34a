-- limit_lock_wait: a migration that cannot have its lock fails, rather than queueing everybody behind itself.
set local lock_timeout = '10s';
