-- lock_migrations: try to take the lock that lets one migration run at a time. Does not wait, see migration_lock.py.
-- Gives  locked boolean. The lock's number is arbitrary; it must differ from those of other programs.
select pg_try_advisory_lock(7221904512387) as locked;
