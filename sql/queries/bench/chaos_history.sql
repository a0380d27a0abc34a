-- chaos_history: where every move of a blog is written down, by the database itself, beside what the workers tell.
create table chaos_history (
    n bigint generated always as identity primary key,
    at timestamptz not null default clock_timestamp(),
    job_id bigint not null,
    instance_id text not null,
    attempt integer not null,
    was text, -- null: it came
    became text, -- null: it was deleted
    error text,
    spent boolean not null, -- it counts against max_attempts
    buying boolean not null -- an attempt ended in a stage whose paid answer was not stored yet
);
