-- bare_table: create the table of the bare worker: a queue as one would write it first.
create table bare_blogs (
    job_id bigint primary key,
    instance_id text not null,
    source_type text not null,
    source_id text,
    source_data jsonb not null,
    status text not null default 'PENDING',
    finishes integer not null default 0
);
