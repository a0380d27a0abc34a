-- record_migration: record a migration, in the same transaction as the migration itself.
-- Takes  version, name, checksum.
insert into blogworker_migrations (version, name, checksum) values (%(version)s, %(name)s, %(checksum)s);
