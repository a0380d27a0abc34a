-- create_migrations: create the table of applied migrations. The name differs from `schema_migrations`, which Rails,
-- golang-migrate, dbmate and Ecto use.
create table if not exists blogworker_migrations (
    version integer primary key,
    name text not null,
    checksum text not null,
    applied_at timestamptz not null default now()
);
