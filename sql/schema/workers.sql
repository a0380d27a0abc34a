-- Workers: which processes are alive, by their leases.

-- One row for each name. A new incarnation of a name takes over the row, which fences off the old one.
create table workers (
    name text primary key,
    worker_id uuid not null unique, -- this incarnation
    host text not null,
    pid integer not null,
    version text not null,
    concurrency integer not null,
    in_flight integer not null default 0,
    draining boolean not null default false,
    started_at timestamptz not null default now(),
    lease_until timestamptz not null,
    stats jsonb not null default '{}', -- of its last heartbeat

    constraint texts_are_bounded check (
        length(name) <= 200 and length(host) <= 300 and length(version) <= 100
    ),
    constraint counts_are_bounded check (
        concurrency between 0 and 1000000 and in_flight between 0 and 1000000
    ),
    constraint stats_are_at_most_4_mb check (octet_length(stats::text) <= 4194304),
    constraint stats_are_readable check (
        not jsonb_path_exists(stats, 'strict $.**{33 to last}')
        and not jsonb_path_exists(stats, 'strict $.** ? (@ > 1e308 || @ < -1e308)')
    ),
    constraint times_are_date_times check (
        least(started_at, lease_until) >= '0001-01-01 00:00:00+00'
        and greatest(started_at, lease_until) <= '9999-12-31 23:59:59.999999+00'
    )
) with (fillfactor = 50);

-- Workers, by name, that a person has told to claim nothing. A restart of the worker does not end it.
create table quiet_workers (
    name text primary key check (length(name) <= 200),
    reason text not null check (length(reason) <= 2000),
    since timestamptz not null default now()
);

-- A number in JSON that another program wrote, limited to 0 .. most. Null if it is not a number.
create function json_number(v jsonb, most numeric) returns double precision language sql immutable parallel safe as $$
    select case when jsonb_typeof(v) = 'number' then least(most, greatest(0, v::numeric))::double precision end
$$;
