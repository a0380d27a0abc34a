-- What the workers share: who is alive, what the vendors still allow, how they feel, what they cost.

-- A row a worker. A new incarnation of a name takes the row over, and with that fences the old one out.
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
    stats jsonb not null default '{}' -- of its last heartbeat
) with (fillfactor = 50);

-- A row a bucket. The clocks are GCRA's: when all that was granted is used up, at the permitted rate.
create table quotas (
    name text primary key, -- provider/family
    provider text not null,
    requests_per_minute integer not null check (requests_per_minute > 0),
    tokens_per_minute integer check (tokens_per_minute > 0), -- null: this vendor counts requests only
    burst_s real not null default 1 check (burst_s >= 0), -- vendors enforce by the second, not by the minute
    requests_clock timestamptz not null default to_timestamp(0),
    tokens_clock timestamptz not null default to_timestamp(0),
    blocked_until timestamptz not null default to_timestamp(0), -- a vendor's retry-after, for the whole fleet
    updated_at timestamptz not null default now()
) with (fillfactor = 10);

-- Reserves one call of about so many tokens. Gives the seconds until it may go, first come first served. Where that
-- is further away than longest_wait_s nothing is taken, and granted is false.
-- Locks the bucket's row for the length of one statement; the time is read after the lock is had.
create function reserve_quota(bucket text, tokens integer, longest_wait_s double precision)
returns table (granted boolean, wait_s double precision) language plpgsql volatile as $$
declare
    q quotas;
    t timestamptz;
    starts_at timestamptz;
begin
    select * into q from quotas where name = bucket for update;
    if not found then
        raise exception 'no quota named %', bucket using hint = 'A worker makes its buckets when it starts.';
    end if;
    t := clock_timestamp();
    starts_at := greatest(
        t,
        q.blocked_until,
        q.requests_clock - make_interval(secs => q.burst_s),
        case when q.tokens_per_minute is not null then q.tokens_clock - make_interval(secs => q.burst_s) end
    );
    wait_s := extract(epoch from starts_at - t);
    granted := wait_s <= longest_wait_s;
    if granted then
        update quotas
        set
            requests_clock = greatest(q.requests_clock, starts_at)
                + make_interval(secs => 60.0 / q.requests_per_minute),
            tokens_clock = case
                when q.tokens_per_minute is null then q.tokens_clock
                else greatest(q.tokens_clock, starts_at) + make_interval(secs => 60.0 * tokens / q.tokens_per_minute)
            end,
            updated_at = t
        where name = bucket;
    end if;
    return next;
end
$$;

-- The circuit breaker of a provider.
create table provider_health (
    provider text primary key,
    state text not null default 'closed' check (state in ('closed', 'open', 'half_open')),
    reason text,
    opened_at timestamptz,
    retry_at timestamptz,
    updated_at timestamptz not null default now()
);

-- Spend by the hour, for budgets, reports and the seed's "in the last minute" figures.
create table provider_usage (
    hour timestamptz not null,
    provider text not null,
    model text not null,
    instance_id text not null,
    requests bigint not null default 0,
    tokens_in bigint not null default 0,
    tokens_cached bigint not null default 0,
    tokens_out bigint not null default 0,
    cost_usd numeric(14, 6) not null default 0,
    primary key (hour, provider, model, instance_id)
) with (fillfactor = 50);
