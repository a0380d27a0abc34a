-- unlock_migrations: release the lock, so that the next migration can run.
select pg_advisory_unlock(7221904512387);
