-- lock_migrations: one migrator at a time. Tried, never waited for: see migrate.py.
-- Gives  locked boolean. The number is our own choice, and only has to differ from other programs'.
select pg_try_advisory_lock(7221904512387) as locked;
