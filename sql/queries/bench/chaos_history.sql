-- chaos_history: create the table of all changes of status. A trigger writes it, so it does not depend on the workers.
create table chaos_history (
    n bigint generated always as identity primary key,
    at timestamptz not null default clock_timestamp(),
    job_id bigint not null,
    instance_id text not null,
    attempt integer not null,
    old_status text, -- null: inserted
    new_status text, -- null: deleted
    error text,
    spent boolean not null, -- the attempt counts against max_attempts
    unpaid boolean not null -- an attempt ended before the paid answer of its stage was stored
);
