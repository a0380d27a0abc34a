-- applied_migrations: version, name, checksum, applied_at, oldest first.
select m.version, m.name, m.checksum, m.applied_at from blogworker_migrations as m order by m.version;
