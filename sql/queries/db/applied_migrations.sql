-- applied_migrations: version, name, checksum and applied_at of each migration, oldest first.
select m.version, m.name, m.checksum, m.applied_at from blogworker_migrations as m order by m.version;
