-- unlock_migrations: let the next migrator in.
select pg_advisory_unlock(7221904512387);
