-- create_migrations: the table that says what this database has. Its name is our own: Rails, golang-migrate, dbmate and
-- Ecto keep a `schema_migrations` each.
create table if not exists blogworker_migrations (
    version integer primary key,
    name text not null,
    checksum text not null,
    applied_at timestamptz not null default now()
);
