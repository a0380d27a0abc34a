-- Quotas: what each provider lets the whole fleet call, as one bucket per provider and model family, or per site for
-- Wix.
--
-- A bucket has two clocks, of requests and of tokens, as in GCRA: each shows when everything granted so far will have
-- been used at the permitted rate. A call may go once its clock is no more than the burst ahead of now.

create table quotas (
    name text primary key, -- provider/family, or wix/instance_id
    provider text not null,

    -- Limits of our own settings.
    requests_per_minute integer not null check (requests_per_minute > 0),
    tokens_per_minute integer check (tokens_per_minute > 0), -- null: this provider counts requests only
    burst_s real not null default 1 check (burst_s >= 0), -- providers enforce by the second, not by the minute
    pinned boolean not null default false, -- set by a person: the settings of a worker do not change the limits

    -- What the provider reports.
    reported_requests_per_minute integer,
    reported_tokens_per_minute integer,
    requests_left real, -- of the provider's own bucket, as a fraction; others may draw from it too
    tokens_left real,
    learned_at timestamptz not null default to_timestamp(0),
    slowed real not null default 1 check (slowed > 0 and slowed <= 1), -- halved by "slow down", recovers by itself
    slowed_at timestamptz not null default to_timestamp(0),
    blocked_until timestamptz not null default to_timestamp(0), -- the retry-after of a provider, for the whole fleet

    -- The clocks.
    requests_clock timestamptz not null default to_timestamp(0),
    tokens_clock timestamptz not null default to_timestamp(0),
    returned_s double precision not null default 0, -- that calls gave back to the clock of tokens, ever
    epoch integer not null default 0, -- changes when calls that are granted and not due yet must ask again
    line_epoch integer not null default 0, -- of the calls that the clocks count
    line_pace real not null default 1, -- at which they were granted
    line_tokens integer not null default 0, -- the largest estimate since the clock of tokens last stood still
    -- The calls that are granted and have not started, in order: where the clock of tokens stood before each, and when it
    -- may go as far as requests and a block are concerned.
    line_clocks timestamptz[] not null default '{}',
    line_soonest timestamptz[] not null default '{}',
    excess_clock timestamptz not null default to_timestamp(0), -- of tokens, after the last usage beyond an estimate

    -- Calls made and their tokens, by slots of five seconds, the newest first. Thirteen cover any minute.
    newest_slot bigint not null default 0, -- its number since 1970
    slot_requests integer[] not null default array_fill(0, array[13]),
    slot_tokens integer[] not null default array_fill(0, array[13]),

    updated_at timestamptz not null default now(),

    constraint texts_are_bounded check (length(name) <= 500 and length(provider) <= 200),
    constraint limits_are_positive check ( -- they are divisors
        reported_requests_per_minute > 0 and reported_tokens_per_minute > 0
    ),
    constraint rates_are_bounded check (
        burst_s between 0 and 3600
        and slowed between 0.01 and 1
        and line_pace between 0 and 1000
        and requests_left between 0 and 1
        and tokens_left between 0 and 1
        and returned_s between -1e15 and 1e15
    ),
    constraint slots_are_thirteen_counts check (
        newest_slot between -2000000000 and 2000000000
        and line_tokens >= 0
        and cardinality(slot_requests) = 13
        and cardinality(slot_tokens) = 13
        and 100000000 >= all (slot_requests)
        and -100000000 <= all (slot_requests)
        and 100000000 >= all (slot_tokens)
        and -100000000 <= all (slot_tokens)
    ),
    constraint line_is_two_equal_lists check (cardinality(line_clocks) = cardinality(line_soonest)),
    constraint excess_clock_is_a_date_time check (
        excess_clock between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    ),
    constraint epochs_can_be_incremented check (
        epoch between 0 and 2000000000 and line_epoch between 0 and 2000000000
    ),
    constraint times_are_date_times check (
        least(requests_clock, tokens_clock, blocked_until, learned_at, slowed_at, updated_at)
        >= '0001-01-01 00:00:00+00'
        and greatest(requests_clock, tokens_clock, blocked_until, learned_at, slowed_at, updated_at)
        <= '9999-12-31 23:59:59.999999+00'
    )
) with (fillfactor = 10);

-- There may be tens of thousands of buckets of sites. The figures of the fleet are about the other buckets, and about
-- those that a provider has blocked. Neither index has a column that a round changes.
create index quotas_of_the_fleet_idx on quotas (name) where provider <> 'wix';
create index quotas_of_sites_blocked_idx on quotas (blocked_until) where provider = 'wix';

comment on column quotas.epoch is 'changes when calls that were granted and are not due yet have to ask again';

-- The last round in which each client (the callers of one process for one bucket) refunded or reported: a round sent
-- again because its answer was lost must not count twice. expire_clients.sql removes old rows.
create table quota_rounds (
    client_id uuid primary key,
    number bigint not null,
    at timestamptz not null,

    constraint times_are_date_times check (
        at between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    )
) with (fillfactor = 50);

-- Calls that wait for a bucket, of all processes. Only a transaction that has locked the row of the bucket changes
-- these rows. Unlogged: after a crash of the server, the waiting processes ask again.
create unlogged table quota_waits (
    call_id uuid primary key,
    bucket text not null,
    client_id uuid not null, -- the process that waits; it asks again several times a second
    turn double precision not null, -- virtual_time of the site when the job was claimed: claims use the same order
    tokens integer not null,
    asked_at timestamptz not null,
    seen_at timestamptz not null,
    starts_at timestamptz, -- null: not granted yet
    soonest_at timestamptz, -- the same without the clock of tokens
    returned_s double precision, -- quotas.returned_s when it was granted
    request_s double precision, -- what it was charged when it was granted: for the request, for each token
    token_s double precision,

    constraint numbers_are_bounded check (
        turn between -1e16 and 1e16
        and returned_s between -1e15 and 1e15
        and request_s between 0 and 1e9
        and token_s between 0 and 1e9
    ),
    constraint times_are_date_times check (
        least(asked_at, seen_at, starts_at, soonest_at) >= '0001-01-01 00:00:00+00'
        and greatest(asked_at, seen_at, starts_at, soonest_at) <= '9999-12-31 23:59:59.999999+00'
    )
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

create index quota_waits_bucket_idx on quota_waits (bucket, turn, asked_at);

-- Pace and cost ------------------------------------------------------------------------------------------------------

-- The part of its limit that a bucket may use at time t, above 0 up to 1.
--
-- Others may use the same key: then the provider's bucket runs low although we keep to our rate. Below half full, we
-- take in proportion to what is left, which settles where their use and ours add up to the inflow. The gain of 2
-- keeps that stable with answers that arrive half a minute late. A report older than ten seconds fades over a minute.
-- "Slow down" halves the pace, which recovers within two minutes. That is bounded below: after a failover to a server
-- whose clock is behind, slowed_at may lie ahead, and a negative pace would move the clocks back with each call.
create function quota_pace(q quotas, t timestamptz) returns double precision language sql immutable as $$
    select
        least(
            1,
            greatest(0.02, 2 * least(coalesce(q.requests_left, 1), coalesce(q.tokens_left, 1)))
            + greatest(0, extract(epoch from t - q.learned_at) - 10) / 60
        )::double precision
        * least(1, q.slowed + greatest(0, extract(epoch from t - q.slowed_at)) / 120)::double precision
$$;

-- How far the clocks of a bucket have been granted ahead of t, in seconds: when the next call could go.
create function quota_ahead_s(q quotas, t timestamptz) returns double precision language sql immutable as $$
    select greatest(
        0,
        extract(epoch from q.blocked_until - t),
        extract(epoch from q.requests_clock - t) - q.burst_s,
        case when q.tokens_per_minute is not null then extract(epoch from q.tokens_clock - t) - q.burst_s end
    )::double precision
$$;

-- How far one request, and one token, moves its clock at time t; token_s is 0 where tokens are not counted.
create function quota_cost(q quotas, t timestamptz, out request_s double precision, out token_s double precision)
language sql immutable as $$
    select
        60 / (quota_pace(q, t) * least(q.requests_per_minute, q.reported_requests_per_minute)),
        case
            when q.tokens_per_minute is null then 0
            else 60 / (quota_pace(q, t) * least(q.tokens_per_minute, q.reported_tokens_per_minute))
        end
$$;

-- When a limit changes: what was granted and used ahead of time is a number of requests or tokens, so at the new limit it
-- takes another time. Otherwise a limit that was too low by mistake would stop the fleet for as long after it is
-- corrected.
create function quota_rescaled(clock timestamptz, t timestamptz, was integer, becomes integer) returns timestamptz
language sql immutable as $$
    select
        case
            when clock > t and was <> becomes
                then t + make_interval(
                    secs => least(1e9, extract(epoch from clock - t)::double precision * was / becomes)
                )
            else clock
        end
$$;

create function quotas_rescale() returns trigger language plpgsql as $$
declare
    t timestamptz := clock_timestamp();
begin
    new.requests_clock := quota_rescaled(new.requests_clock, t, old.requests_per_minute, new.requests_per_minute);
    new.tokens_clock := quota_rescaled(new.tokens_clock, t, old.tokens_per_minute, new.tokens_per_minute);
    new.excess_clock := quota_rescaled(new.excess_clock, t, old.tokens_per_minute, new.tokens_per_minute);
    return new;
end
$$;

create trigger rescale before update of requests_per_minute, tokens_per_minute on quotas
for each row when (
    old.requests_per_minute <> new.requests_per_minute or old.tokens_per_minute <> new.tokens_per_minute
) execute function quotas_rescale();

-- The last minute ----------------------------------------------------------------------------------------------------

-- The number of the slot of a time.
create function quota_slot(t timestamptz) returns bigint language sql immutable as $$
    select floor(extract(epoch from t) / 5)::bigint
$$;

-- The slots, shifted to a newer one; the oldest drop out.
create function quota_moved_on(slots integer[], newest bigint, slot bigint) returns integer[] language sql immutable as $$
    select
        case
            when slot <= newest then slots
            when slot - newest >= 13 then array_fill(0, array[13])
            else (array_fill(0, array[(slot - newest)::integer]) || slots)[1:13]
        end
$$;

-- The count of a slot with an addition. Bounded, so that the sum of the slots is an integer.
create function quota_counted(count integer, more integer) returns integer language sql immutable as $$
    select greatest(-100000000, least(100000000, count::bigint + more))::integer
$$;

-- The sum of the minute before a time. The oldest slot counts by the part of it that lies within the minute.
create function quota_last_minute(slots integer[], newest bigint, t timestamptz) returns integer
language sql immutable as $$
    select
        greatest(
            0,
            round(
                sum(s.amount * greatest(0, least(1, newest - s.place + 2 - (extract(epoch from t) - 60) / 5)))
            )
        )::integer
    from unnest(slots) with ordinality as s (amount, place)
$$;

-- A figure of the last minute as people see it. The sums are of 5 s slots, the oldest of which is only partly in the
-- minute, and a burst may go at once. So a fully used quota can seem overrun by that much: it is shown as 100 %. More
-- is shown as it is: the limit was lowered, or calls used more than was reserved for them.
create function quota_shown(used integer, most integer, burst_s real) returns integer language sql immutable as $$
    select case when used::double precision * 60 <= most::double precision * (65 + burst_s) then least(used, most) else used end
$$;

-- A round ------------------------------------------------------------------------------------------------------------

-- One round with a bucket for all callers of a process: refund, report usage, then reserve.
-- Takes  call_ids, turns, tokens, waited_s: the calls that the process waits to make, with their estimates and how
--        long each has waited so far; those it named before and does not name now are forgotten. unused_tokens: what
--        each call that ended left of its estimate (negative: it used more); unused_token_s: how far each token of
--        that call moved the clock; a call that was granted, started and never reached the provider used no tokens.
--        refund_requests_s, refund_tokens_s: how far the clocks move back for calls that left before they started,
--        ignored if refund_epoch is not the bucket's any more; longest_wait_s: calls that would wait longer in all are
--        refused; ahead_s: a call is granted at most this long before it may go, however long it has waited; reported_s,
--        reported_requests, reported_tokens: usage to add to the figures of the last minute, so many seconds ago each (a
--        call that may go at once is counted here already); client_id, number: of those rounds that refund or report.
--        Each counts once, however often it is sent.
-- Gives  waits: seconds until each call may go, in the order of call_ids, null where it is not granted; soonest: the
--        same without the clock of tokens; returned_at_s: returned_s when it was granted; expected_s: the remaining
--        wait of a call that is not granted; refused: which of these would wait too long; request_s, token_s: how far
--        each granted call moved the clock of requests, and each of its tokens the other; returned_s: how far calls
--        have moved the clock of tokens back so far; epoch.
-- Raises BW404 if there is no such bucket.
-- Locks  the row of the bucket for one statement; the time is read after the lock is acquired. Then the row of the
--        client in quota_rounds.
--
-- Waiting calls are served in the order of the turns of their sites, across all processes: a round grants for all of
-- them, whichever process makes it. Calls are granted shortly before they may go, so that a call with an earlier turn
-- need not wait behind calls that came before it. A process learns in its next round what other processes have
-- granted to it; that round comes sooner than ahead_s.
--
-- The invariant. The provider's bucket is modelled like this: it refills at the limit, holds burst_s plus one call,
-- loses the estimate when a call starts, and is corrected by the real usage when that is reported. Whenever a call
-- starts, the bucket holds at least the estimate of that call. This is true for calls of any duration, for usage above
-- or below the estimates, and for any blocks and changes of the limits and of the pace in between. In
-- terms of the clock: it is never less ahead of now than what started calls have taken out of the provider's bucket
-- and not refilled, plus what granted calls are going to take out. So:
--
--   A call is charged as of its start, not as of its grant: the clock cannot run before that.
--   Usage beyond the estimate is charged as of the report, at the price of that time, as the provider charges it. A clock
--   that stood still meanwhile is moved to now first: the provider's bucket was full then, and gained nothing.
--   A refund moves the clock back no further than the provider's bucket had room for at the report: a bucket that was full
--   meanwhile, or becomes full before a granted call can start, keeps no credit. It counts at the lower of the price at
--   the grant and the present one, because a call that was charged fifty times as much at a fiftieth of the pace gives
--   back only its own tokens. While usage beyond an estimate is ahead, which may have been charged at the full pace, it
--   counts at the price of the full pace.
--   A refund moves up the calls that are granted, an excess delays them: as returned_s changes they go sooner or later
--   by as much.
--   A new epoch revokes what is granted and has not started: the clock of tokens goes back to where it was before the
--   first of those calls. So does a pace that differs much from the one at which calls were granted. Otherwise a moment
--   of trouble would leave sparse calls behind it, and a free minute dense ones. What was used beyond estimates stays.
--
-- Outside the invariant, because it cannot be known earlier: an excess counts from its report, and for a process from
-- its next round, at most half a second later. A call that waits for its request or a block, and not for tokens, is
-- delayed by the whole excess: it goes too late, by at most what it was granted ahead, and the next ones that much
-- closer to it. The places of calls that leave before they start go once more. For a provider that never corrects an
-- estimate, the pace follows what its headers say.
--
-- Spares: further calls that the process may start within seconds, without another round. They are counted when they are
-- granted. Only a bucket that counts no tokens has them, where no call waits, and while half of its burst is left.
--
-- A call moves the clock of tokens by at least the time of one request: otherwise calls of few tokens that waited for
-- that clock would all go at once. What that is more than its estimate is neither given back nor set off against
-- usage beyond the estimate: the provider never took it.
create function quota_round(
    bucket text, call_ids uuid[], turns double precision[], tokens integer[], waited_s double precision[],
    unused_tokens double precision[], unused_token_s double precision[],
    refund_requests_s double precision, refund_tokens_s double precision, refund_epoch integer,
    longest_wait_s double precision, ahead_s double precision,
    reported_s double precision[], reported_requests integer[], reported_tokens integer[], client_id uuid, number bigint,
    wanted_spares integer
)
returns table (
    waits double precision[], soonest double precision[], returned_at_s double precision[],
    expected_s double precision[], refused boolean[], request_s double precision[], token_s double precision[],
    returned_s double precision, epoch integer, spares integer
)
language plpgsql volatile as $$
#variable_conflict use_column
declare
    q quotas;
    was quotas;
    t timestamptz;
    cost record; -- of one request, and of one token, now
    earliest_at timestamptz;
    goes_at timestamptz;
    clock_at timestamptz;
    next_requests timestamptz;
    next_tokens timestamptz;
    a_request interval;
    pace double precision;
    under_way_s double precision;
    refund_s double precision;
    excess_s double precision;
    left_s double precision;
    crowded boolean;
    closed boolean := false; -- this round grants no more calls
    granted boolean := false; -- this round granted a call
    c record;
    place integer;
    slot bigint;
begin
    -- The row stays locked until the commit is over, and need not be on disk by then: a crash of the server may forget
    -- what was granted in its last moments.
    perform set_config('synchronous_commit', 'off', true);
    select * into q from quotas where quotas.name = bucket for update;
    if not found then
        raise exception 'no quota named %', bucket using errcode = 'BW404', hint = 'A worker creates its buckets.';
    end if;
    was := q;
    t := clock_timestamp();
    if
        cardinality(unused_tokens) > 0 or refund_requests_s <> 0 or refund_tokens_s <> 0 or cardinality(reported_s) > 0
    then
        insert into quota_rounds as r (client_id, number, at)
        values (quota_round.client_id, quota_round.number, t)
        on conflict (client_id) do update set number = excluded.number, at = excluded.at
        where r.number < excluded.number;
        if not found then
            unused_tokens := '{}';
            unused_token_s := '{}';
            refund_epoch := null;
            reported_s := '{}';
        end if;
    end if;
    pace := quota_pace(q, t);
    select k.request_s, k.token_s into cost from quota_cost(q, t) as k;
    a_request := make_interval(secs => cost.request_s);
    under_way_s := q.burst_s + greatest(cost.request_s, cost.token_s * q.line_tokens);
    select
        coalesce(array_agg(l.clock_at order by l.place), '{}'),
        coalesce(array_agg(l.soonest_at order by l.place), '{}')
    into q.line_clocks, q.line_soonest
    from unnest(q.line_clocks, q.line_soonest) with ordinality as l (clock_at, soonest_at, place)
    where greatest(l.soonest_at, l.clock_at - make_interval(secs => q.burst_s)) > t; -- the others have started
    if pace not between q.line_pace * 0.8 and q.line_pace * 1.25 then
        q.epoch := (q.epoch + 1) % 2000000000;
    end if;
    if q.line_epoch <> q.epoch then
        q.requests_clock := least(q.requests_clock, t + make_interval(secs => q.burst_s) + a_request);
        q.tokens_clock := least(
            q.tokens_clock,
            q.line_clocks[1], -- null, which least ignores, if every granted call has started
            greatest(t + make_interval(secs => under_way_s), q.excess_clock)
        );
        q.line_clocks := '{}';
        q.line_soonest := '{}';
        q.line_epoch := q.epoch;
        q.line_pace := pace;
        update quota_waits as w set starts_at = null where w.bucket = quota_round.bucket and w.starts_at > t;
    end if;
    if cardinality(unused_tokens) > 0 and cost.token_s > 0 then
        select
            coalesce(
                sum(
                    greatest(0, u.tokens)
                    * least(u.token_s, cost.token_s * case when q.excess_clock > t then pace else 1 end)
                ),
                0
            ),
            least(1e10, coalesce(sum(greatest(0, -u.tokens)) * cost.token_s, 0))
        into refund_s, excess_s
        from unnest(unused_tokens, unused_token_s) as u (tokens, token_s);
        select greatest(0, least(
            refund_s,
            extract(epoch from q.tokens_clock - t),
            min(extract(epoch from l.clock_at - greatest(t, l.soonest_at)))
        ))
        into refund_s
        from unnest(q.line_clocks, q.line_soonest) as l (clock_at, soonest_at);
        q.tokens_clock := least(
            case when excess_s > 0 then greatest(q.tokens_clock, t) else q.tokens_clock end
            + make_interval(secs => excess_s - refund_s),
            t + interval '1000 years'
        );
        q.line_clocks := array(
            select least(
                case when excess_s > 0 then greatest(l.clock_at, t) else l.clock_at end
                + make_interval(secs => excess_s - refund_s),
                t + interval '1000 years'
            )
            from unnest(q.line_clocks) with ordinality as l (clock_at, place)
            order by l.place
        );
        if excess_s > 0 then
            q.excess_clock := greatest(q.excess_clock, coalesce(q.line_clocks[1], q.tokens_clock));
        end if;
        q.returned_s := greatest(-1e15, least(1e15, q.returned_s + refund_s - excess_s));
    end if;
    if refund_epoch = q.epoch then
        q.requests_clock := q.requests_clock - make_interval(secs => refund_requests_s);
        q.tokens_clock := q.tokens_clock - make_interval(secs => refund_tokens_s);
    end if;
    slot := quota_slot(t);
    q.slot_requests := quota_moved_on(q.slot_requests, q.newest_slot, slot);
    q.slot_tokens := quota_moved_on(q.slot_tokens, q.newest_slot, slot);
    q.newest_slot := greatest(q.newest_slot, slot);
    for nth in 1 .. cardinality(reported_s) loop
        place := 1 + q.newest_slot - quota_slot(t - make_interval(secs => reported_s[nth]));
        if place <= 13 then
            q.slot_requests[place] := quota_counted(q.slot_requests[place], reported_requests[nth]);
            q.slot_tokens[place] := quota_counted(q.slot_tokens[place], reported_tokens[nth]);
        end if;
    end loop;

    crowded := exists (select from quota_waits as w where w.bucket = quota_round.bucket);
    if crowded then
        -- Forget calls that this process no longer waits for, and all calls of processes that stopped asking. What was
        -- granted to them and not used is given back.
        with forgotten as (
            delete from quota_waits as w
            where
                w.bucket = quota_round.bucket
                and (
                    (w.client_id = quota_round.client_id and w.call_id <> all (call_ids))
                    or w.seen_at < t - interval '5 seconds'
                )
            returning w.tokens, w.starts_at, w.request_s, w.token_s
        )

        select
            q.requests_clock - make_interval(secs => coalesce(sum(f.request_s), 0)),
            q.tokens_clock - make_interval(secs => coalesce(
                sum(greatest(f.request_s, f.token_s * f.tokens)) filter (where f.token_s > 0), 0
            ))
        into q.requests_clock, q.tokens_clock
        from forgotten as f
        where f.starts_at is not null;
    end if;
    waits := array_fill(null::double precision, array[cardinality(call_ids)]);
    soonest := waits;
    returned_at_s := waits;
    expected_s := waits;
    request_s := waits;
    token_s := waits;
    refused := array_fill(false, array[cardinality(call_ids)]);
    next_requests := q.requests_clock;
    next_tokens := q.tokens_clock;
    for c in
        select
            coalesce(a.call_id, w.call_id) as call_id,
            coalesce(w.turn, a.turn) as turn,
            coalesce(w.tokens, a.tokens) as tokens,
            coalesce(w.asked_at, t - make_interval(secs => a.waited_s)) as asked_at,
            w.call_id is not null as waits_already,
            w.starts_at,
            w.soonest_at,
            w.returned_s,
            w.request_s,
            w.token_s,
            a.place
        from unnest(call_ids, turns, tokens, waited_s) with ordinality as a (call_id, turn, tokens, waited_s, place)
        full join (select * from quota_waits as v where crowded and v.bucket = quota_round.bucket) as w
            on w.call_id = a.call_id
        order by turn, asked_at, a.place
    loop
        if c.starts_at is not null then -- granted by an earlier round
            if c.place is not null then
                waits[c.place] := greatest(1e-6, extract(epoch from c.starts_at - t)); -- 0: counted when granted
                soonest[c.place] := greatest(0, extract(epoch from c.soonest_at - t));
                returned_at_s[c.place] := c.returned_s;
                request_s[c.place] := c.request_s;
                token_s[c.place] := c.token_s;
                delete from quota_waits as w where w.call_id = c.call_id;
            end if;
            continue;
        end if;
        earliest_at := greatest(t, q.blocked_until, next_requests - make_interval(secs => q.burst_s));
        goes_at := greatest(
            earliest_at, case when cost.token_s > 0 then next_tokens - make_interval(secs => q.burst_s) end
        );
        left_s := extract(epoch from goes_at - t);
        closed := closed or left_s > ahead_s;
        if closed and left_s + extract(epoch from t - c.asked_at) > longest_wait_s then -- refused
            if c.place is not null then
                refused[c.place] := true;
                expected_s[c.place] := left_s;
                if c.waits_already then
                    delete from quota_waits as w where w.call_id = c.call_id;
                end if;
            end if;
            continue;
        end if;
        next_requests := greatest(next_requests, t, q.blocked_until) + a_request;
        clock_at := next_tokens;
        if cost.token_s > 0 then
            next_tokens := greatest(next_tokens, goes_at)
                + greatest(make_interval(secs => cost.token_s * c.tokens), a_request);
        end if;
        if closed then
            if c.place is not null then
                expected_s[c.place] := left_s;
                insert into quota_waits as w (call_id, bucket, client_id, turn, tokens, asked_at, seen_at)
                values (
                    c.call_id, bucket, quota_round.client_id, c.turn, c.tokens,
                    c.asked_at + c.place * interval '1 microsecond', t -- keeps the order for rounds of other processes
                )
                on conflict (call_id) do update set seen_at = excluded.seen_at;
            end if;
            continue;
        end if;
        if cost.token_s > 0 then
            q.line_tokens := greatest(c.tokens, case when q.tokens_clock > t then q.line_tokens end);
            q.tokens_clock := next_tokens;
            if left_s > 0 then
                q.line_clocks := q.line_clocks || clock_at;
                q.line_soonest := q.line_soonest || earliest_at;
            end if;
        end if;
        q.requests_clock := next_requests;
        granted := true;
        if left_s <= 0 and c.place is not null then
            q.slot_requests[1] := quota_counted(q.slot_requests[1], 1);
            q.slot_tokens[1] := quota_counted(q.slot_tokens[1], c.tokens);
        end if;
        if c.place is not null then
            waits[c.place] := left_s;
            soonest[c.place] := extract(epoch from earliest_at - t);
            returned_at_s[c.place] := q.returned_s;
            request_s[c.place] := cost.request_s;
            token_s[c.place] := cost.token_s;
            if c.waits_already then
                delete from quota_waits as w where w.call_id = c.call_id;
            end if;
        else
            update quota_waits as w
            set
                starts_at = goes_at,
                soonest_at = earliest_at,
                returned_s = q.returned_s,
                request_s = cost.request_s,
                token_s = cost.token_s
            where w.call_id = c.call_id;
        end if;
    end loop;
    spares := 0;
    while
        spares < wanted_spares
        and cost.token_s = 0
        and granted
        and not closed
        and not crowded
        and q.requests_clock < t + make_interval(secs => q.burst_s / 2)
        and coalesce(q.blocked_until <= t, true)
    loop
        q.requests_clock := greatest(q.requests_clock, t) + a_request;
        q.slot_requests[1] := quota_counted(q.slot_requests[1], 1);
        spares := spares + 1;
    end loop;
    if (q.requests_clock, q.tokens_clock, q.line_epoch) is distinct from
        (was.requests_clock, was.tokens_clock, was.line_epoch) or granted or cardinality(reported_s) > 0
    then
        q.updated_at := t;
        update quotas
        set
            requests_clock = q.requests_clock,
            tokens_clock = q.tokens_clock,
            returned_s = q.returned_s,
            epoch = q.epoch,
            line_epoch = q.line_epoch,
            line_pace = q.line_pace,
            line_tokens = q.line_tokens,
            line_clocks = q.line_clocks,
            line_soonest = q.line_soonest,
            excess_clock = q.excess_clock,
            newest_slot = q.newest_slot,
            slot_requests = q.slot_requests,
            slot_tokens = q.slot_tokens,
            updated_at = q.updated_at
        where quotas.name = bucket;
    end if;
    epoch := q.epoch;
    returned_s := q.returned_s;
    return next;
end
$$;

-- The limiter at a glance, for the whole fleet, one row for each bucket. queue_length: calls that have a slot of a
-- live worker and wait for their quota, as of its last extension of the lease. The limits are those in force: our
-- own, or the provider's where that is lower. tokens: null where the provider counts none.
create view v_quotas as
select
    q.name,
    q.provider,
    (
        select coalesce(sum(json_number(w.stats #> array['waiting', q.name], 1000)), 0)::integer
        from workers as w
        where w.lease_until > now()
    ) as queue_length,
    n.requests as requests_in_last_minute,
    m.requests as max_requests,
    round(100.0 * n.requests / m.requests, 1)::double precision as requests_percent,
    n.tokens as tokens_in_last_minute,
    m.tokens as max_tokens,
    round(100.0 * n.tokens / m.tokens, 1)::double precision as tokens_percent,
    quota_pace(q, u.t) as pace,
    greatest(extract(epoch from q.requests_clock - u.t), 0)::double precision as requests_ahead_s,
    greatest(extract(epoch from q.tokens_clock - u.t), 0)::double precision as tokens_ahead_s,
    greatest(extract(epoch from q.blocked_until - u.t), 0)::double precision as blocked_s,
    q.pinned,
    q.requests_per_minute,
    q.tokens_per_minute,
    q.reported_requests_per_minute,
    q.reported_tokens_per_minute
from quotas as q
cross join lateral (select clock_timestamp() as t) as c
cross join lateral (
    select
        c.t,
        quota_last_minute(q.slot_requests, q.newest_slot, c.t) as requests,
        case when q.tokens_per_minute is not null then quota_last_minute(q.slot_tokens, q.newest_slot, c.t) end as tokens
) as u
cross join lateral (
    select
        least(q.requests_per_minute, q.reported_requests_per_minute) as requests,
        case
            when q.tokens_per_minute is not null then least(q.tokens_per_minute, q.reported_tokens_per_minute)
        end as tokens
) as m
cross join lateral (
    select
        quota_shown(u.requests, m.requests, q.burst_s) as requests,
        quota_shown(u.tokens, m.tokens, q.burst_s) as tokens
) as n;
