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

-- A number in what another program wrote, from 0 to the most that makes sense; null where it is no number.
create function json_number(v jsonb, most numeric) returns double precision language sql immutable parallel safe as $$
    select case when jsonb_typeof(v) = 'number' then least(most, greatest(0, v::numeric))::double precision end
$$;

-- A row a bucket. The clocks are GCRA's: when all that was granted is used up, at the permitted rate.
create table quotas (
    name text primary key, -- provider/family
    provider text not null,
    requests_per_minute integer not null check (requests_per_minute > 0),
    tokens_per_minute integer check (tokens_per_minute > 0), -- null: this vendor counts requests only
    pinned boolean not null default false, -- set by a person: a worker's settings do not change the limits
    burst_s real not null default 1 check (burst_s >= 0), -- vendors enforce by the second, not by the minute
    requests_clock timestamptz not null default to_timestamp(0),
    tokens_clock timestamptz not null default to_timestamp(0),
    blocked_until timestamptz not null default to_timestamp(0), -- a vendor's retry-after, for the whole fleet
    epoch integer not null default 0, -- changes when what was granted before no longer holds
    -- What the vendor says of itself.
    vendor_requests_per_minute integer,
    vendor_tokens_per_minute integer,
    requests_left real, -- of the vendor's own bucket, as a fraction; others may draw from it too
    tokens_left real,
    learned_at timestamptz not null default to_timestamp(0),
    slowed real not null default 1 check (slowed > 0 and slowed <= 1), -- halved by "slow down", recovers by itself
    slowed_at timestamptz not null default to_timestamp(0),
    updated_at timestamptz not null default now()
) with (fillfactor = 10);

-- The part of its limit that a bucket may use now.
-- Others share the key: the vendor's bucket runs low although we keep to our rate; below half full we take in
-- proportion to what is left, which settles where ours and theirs add up to what flows in. The gain of 2 a minute keeps
-- that steady with answers that come half a minute late. News older than ten seconds fades over a minute.
-- "Slow down": half, and back to all of it within two minutes.
create function quota_pace(q quotas, t timestamptz) returns double precision language sql immutable as $$
    select
        least(
            1,
            greatest(0.02, 2 * least(coalesce(q.requests_left, 1), coalesce(q.tokens_left, 1)))
            + greatest(0, extract(epoch from t - q.learned_at) - 10) / 60
        )::double precision
        * least(1, q.slowed + extract(epoch from t - q.slowed_at) / 120)::double precision
$$;

-- One round with a bucket for all of a process's callers: give back, then reserve.
-- Takes    tokens: the estimate of each call wanted, first come first served; back_requests_s, back_tokens_s: how far
--          the clocks move back for what was reserved and not used (negative: used beyond the estimate), dropped if
--          back_epoch is no longer the bucket's; longest_wait_s: calls further away are refused.
-- Gives    waits: seconds until each call may go, in order, null where refused; next_s: when the next call could go;
--          request_s, token_s: how far one of each moves its clock, token_s 0 where tokens are not counted; epoch.
-- Locks    the bucket's row for the length of one statement; the time is read after the lock is had.
--
-- Each clock runs by itself, so that what is given back moves it back. A call takes at least one request's time from
-- the tokens too: calls of few tokens held up by that clock would else go all at once. What is given back is counted
-- in the seconds it was charged, since the pace may have changed in between.
create function quota_round(
    bucket text, tokens integer[], back_requests_s double precision, back_tokens_s double precision, back_epoch integer,
    longest_wait_s double precision
)
returns table (
    waits double precision[], next_s double precision, request_s double precision, token_s double precision,
    epoch integer
)
language plpgsql volatile as $$
#variable_conflict use_column
declare
    q quotas;
    t timestamptz;
    starts_at timestamptz;
    a_request interval;
    pace double precision;
    wanted integer;
begin
    select * into q from quotas where quotas.name = bucket for update;
    if not found then
        raise exception 'no quota named %', bucket using hint = 'A worker makes its buckets when it starts.';
    end if;
    t := clock_timestamp();
    pace := quota_pace(q, t);
    request_s := 60 / (pace * least(q.requests_per_minute, q.vendor_requests_per_minute));
    token_s := case
        when q.tokens_per_minute is null then 0
        else 60 / (pace * least(q.tokens_per_minute, q.vendor_tokens_per_minute))
    end;
    a_request := make_interval(secs => request_s);
    if back_epoch = q.epoch then
        q.requests_clock := q.requests_clock - make_interval(secs => back_requests_s);
        q.tokens_clock := q.tokens_clock - make_interval(secs => back_tokens_s);
    end if;
    waits := '{}';
    foreach wanted in array tokens || array[null::integer] loop -- the null asks for next_s and takes nothing
        starts_at := greatest(
            t,
            q.blocked_until,
            q.requests_clock - make_interval(secs => q.burst_s),
            case when token_s > 0 then q.tokens_clock - make_interval(secs => q.burst_s) end
        );
        next_s := extract(epoch from starts_at - t);
        if wanted is null then
            null;
        elsif next_s > longest_wait_s then
            waits := waits || null::double precision;
        else
            waits := waits || next_s;
            q.requests_clock := greatest(q.requests_clock, t, q.blocked_until) + a_request;
            if token_s > 0 then
                q.tokens_clock := greatest(q.tokens_clock, t, q.blocked_until)
                    + greatest(make_interval(secs => token_s * wanted), a_request);
            end if;
        end if;
    end loop;
    update quotas
    set requests_clock = q.requests_clock, tokens_clock = q.tokens_clock, updated_at = t
    where quotas.name = bucket
        and (quotas.requests_clock, quotas.tokens_clock) is distinct from (q.requests_clock, q.tokens_clock);
    epoch := q.epoch;
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
