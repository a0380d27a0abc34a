-- The limiter: what comes back moves up those who wait; a change clears the line and no more; the last minute's figures.

alter table quotas
    add column returned_s double precision not null default 0, -- that calls gave back to the clock of tokens, ever
    add column line_epoch integer not null default 0, -- of the calls that the clocks count, and their pace
    add column line_pace real not null default 1,
    add column line_tokens integer not null default 0, -- the largest estimate since the clock of tokens stood still
    -- Calls that went and their tokens, by slots of five seconds, the newest first. Thirteen hold any minute.
    add column newest_slot bigint not null default 0, -- of those since 1970
    add column slot_requests integer[] not null default array_fill(0, array[13]),
    add column slot_tokens integer[] not null default array_fill(0, array[13]);

-- Of the buckets of sites there may be tens of thousands; the figures of the fleet are about the others, and about those
-- that a vendor stopped. Neither index has a column that a round changes.
create index quotas_of_the_fleet_idx on quotas (name) where provider <> 'wix';
create index quotas_of_sites_blocked_idx on quotas (blocked_until) where provider = 'wix';

comment on column quotas.epoch is 'changes when calls that were granted and are not due yet have to ask again';

-- The last round in which each desk (a process's callers of one bucket) gave back: sent again because its answer was
-- lost, it must not give back twice. forget_desks.sql removes those of long ago.
create table quota_rounds (
    desk_id uuid primary key,
    number bigint not null,
    at timestamptz not null
) with (fillfactor = 50);

create function quota_slot(t timestamptz) returns bigint language sql immutable as $$
    select floor(extract(epoch from t) / 5)::bigint
$$;

-- The slots, moved on to a time: what is older than they reach falls out.
create function quota_moved_on(slots integer[], newest bigint, slot bigint) returns integer[] language sql immutable as $$
    select
        case
            when slot <= newest then slots
            when slot - newest >= 13 then array_fill(0, array[13])
            else (array_fill(0, array[(slot - newest)::integer]) || slots)[1:13]
        end
$$;

-- What went in the minute before a time. The oldest slot counts as far as it lies within the minute.
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

-- As in 0003, but for "slow down", whose recovery is bounded below: after a failover to a server whose clock is behind,
-- its moment may lie ahead. A pace below zero would move the clocks back with each call, and let everything through.
create or replace function quota_pace(q quotas, t timestamptz) returns double precision language sql immutable as $$
    select
        least(
            1,
            greatest(0.02, 2 * least(coalesce(q.requests_left, 1), coalesce(q.tokens_left, 1)))
            + greatest(0, extract(epoch from t - q.learned_at) - 10) / 60
        )::double precision
        * least(1, q.slowed + greatest(0, extract(epoch from t - q.slowed_at)) / 120)::double precision
$$;

-- One round with a bucket for all of a process's callers: give back, tell, then reserve.
-- Takes    tokens: the estimate of each call wanted, first come first served; unused_s: how far the clock of tokens
--          moves back for what calls did not use (negative: used beyond the estimate); back_requests_s, back_tokens_s:
--          the same for calls never made, dropped if back_epoch is not the bucket's any more; longest_wait_s: calls
--          further away are refused; told_s, told_requests, told_tokens: what the figures of the last minute are to
--          take in, so many seconds ago each. A call that may go at once is in them without being told; desk_id, number:
--          of those of its rounds that give back or tell. Each is heard once, however often it is sent.
-- Gives    waits: seconds until each call may go, in order, null where refused; soonest: the same without the clock of
--          tokens, and returned_s: what calls gave back to it so far; next_s: when the next call could go; request_s,
--          token_s: how far one of each moves its clock, token_s 0 where tokens are not counted; epoch.
-- Locks    the bucket's row for the length of one statement; the time is read after the lock is had. Then the desk's.
--
-- Each clock runs by itself, so that what is given back moves it back. A call takes at least one request's time from
-- the tokens too: calls of few tokens held up by that clock would else go all at once. What is given back is counted
-- in the seconds it was charged, since the pace may have changed in between.
--
-- What calls give back of their tokens moves up all who wait: as returned_s grows they go so much sooner, in order.
-- If it served newcomers only, the line would be as sparse as the estimates, and then go double: more than a vendor
-- that enforces by the second lets through.
--
-- A new epoch clears the line: the clocks go back to where calls that are under way can have brought them. So does a
-- pace that is no longer near the one the line was granted at, else a moment of trouble would leave half a minute of
-- sparse calls behind it, and a free minute a dense one.
drop function quota_round(text, integer[], double precision, double precision, integer, double precision);
create function quota_round(
    bucket text, tokens integer[], unused_s double precision, back_requests_s double precision,
    back_tokens_s double precision, back_epoch integer, longest_wait_s double precision,
    told_s double precision[], told_requests integer[], told_tokens integer[], desk_id uuid, number bigint
)
returns table (
    waits double precision[], soonest double precision[], returned_s double precision, next_s double precision,
    request_s double precision, token_s double precision, epoch integer
)
language plpgsql volatile as $$
#variable_conflict use_column
declare
    q quotas;
    was quotas;
    t timestamptz;
    soonest_at timestamptz;
    starts_at timestamptz;
    a_request interval;
    pace double precision;
    under_way_s double precision;
    wanted integer;
    place integer;
    slot bigint;
begin
    -- The row is held until the commit is over, and nobody needs it on the disk: a crash of the server forgets what was
    -- granted in its last moments.
    perform set_config('synchronous_commit', 'off', true);
    select * into q from quotas where quotas.name = bucket for update;
    if not found then
        raise exception 'no quota named %', bucket using hint = 'A worker makes its buckets when it starts.';
    end if;
    was := q;
    t := clock_timestamp();
    if unused_s <> 0 or back_requests_s <> 0 or back_tokens_s <> 0 or cardinality(told_s) > 0 then
        insert into quota_rounds as r (desk_id, number, at)
        values (quota_round.desk_id, quota_round.number, t)
        on conflict (desk_id) do update set number = excluded.number, at = excluded.at
        where r.number < excluded.number;
        if not found then
            unused_s := 0;
            back_epoch := null;
            told_s := '{}';
        end if;
    end if;
    pace := quota_pace(q, t);
    request_s := 60 / (pace * least(q.requests_per_minute, q.vendor_requests_per_minute));
    token_s := case
        when q.tokens_per_minute is null then 0
        else 60 / (pace * least(q.tokens_per_minute, q.vendor_tokens_per_minute))
    end;
    a_request := make_interval(secs => request_s);
    under_way_s := q.burst_s + greatest(request_s, token_s * q.line_tokens);
    if pace not between q.line_pace * 0.8 and q.line_pace * 1.25 then
        q.epoch := q.epoch + 1;
    end if;
    if q.line_epoch <> q.epoch then
        q.requests_clock := least(q.requests_clock, t + make_interval(secs => q.burst_s) + a_request);
        q.tokens_clock := least(q.tokens_clock, t + make_interval(secs => under_way_s));
        q.line_epoch := q.epoch;
        q.line_pace := pace;
    end if;
    q.tokens_clock := q.tokens_clock - make_interval(secs => unused_s);
    q.returned_s := q.returned_s + unused_s;
    if back_epoch = q.epoch then
        q.requests_clock := q.requests_clock - make_interval(secs => back_requests_s);
        q.tokens_clock := q.tokens_clock - make_interval(secs => back_tokens_s);
    end if;
    slot := quota_slot(t);
    q.slot_requests := quota_moved_on(q.slot_requests, q.newest_slot, slot);
    q.slot_tokens := quota_moved_on(q.slot_tokens, q.newest_slot, slot);
    q.newest_slot := greatest(q.newest_slot, slot);
    for told in 1 .. cardinality(told_s) loop
        place := 1 + q.newest_slot - quota_slot(t - make_interval(secs => told_s[told]));
        if place <= 13 then
            q.slot_requests[place] := q.slot_requests[place] + told_requests[told];
            q.slot_tokens[place] := q.slot_tokens[place] + told_tokens[told];
        end if;
    end loop;
    waits := '{}';
    soonest := '{}';
    foreach wanted in array tokens || array[null::integer] loop -- the null asks for next_s and takes nothing
        soonest_at := greatest(t, q.blocked_until, q.requests_clock - make_interval(secs => q.burst_s));
        starts_at := greatest(
            soonest_at, case when token_s > 0 then q.tokens_clock - make_interval(secs => q.burst_s) end
        );
        next_s := extract(epoch from starts_at - t);
        if wanted is null then
            null;
        elsif next_s > longest_wait_s then
            waits := waits || null::double precision;
            soonest := soonest || null::double precision;
        else
            waits := waits || next_s;
            soonest := soonest || extract(epoch from soonest_at - t)::double precision;
            q.requests_clock := greatest(q.requests_clock, t, q.blocked_until) + a_request;
            if token_s > 0 then
                q.line_tokens := greatest(wanted, case when q.tokens_clock > t then q.line_tokens end);
                q.tokens_clock := greatest(q.tokens_clock, t, q.blocked_until)
                    + greatest(make_interval(secs => token_s * wanted), a_request);
            end if;
            if next_s <= 0 then
                q.slot_requests[1] := q.slot_requests[1] + 1;
                q.slot_tokens[1] := q.slot_tokens[1] + wanted;
            end if;
        end if;
    end loop;
    if (q.requests_clock, q.tokens_clock, q.line_epoch) is distinct from
        (was.requests_clock, was.tokens_clock, was.line_epoch) or cardinality(told_s) > 0
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

-- The limiter at a glance, true for the whole fleet, a row a bucket. queue_length: calls that hold a slot of a live worker
-- and wait for their quota, as of its last extension of the lease (every third of it). The limits are those in force:
-- ours, or the vendor's own where that is lower; tokens: null where the vendor counts none.
--
-- The figures of the last minute are sums of 5 s slots, the oldest of which is only partly in it, and a burst may go at
-- once. So a fully used quota can seem overrun by that much: it is shown as 100 %. More than that is shown as it is: the
-- limit was lowered, or calls used more than was reserved for them.
create function quota_shown(used integer, most integer, burst_s real) returns integer language sql immutable as $$
    select case when used::double precision * 60 <= most::double precision * (65 + burst_s) then least(used, most) else used end
$$;

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
    q.vendor_requests_per_minute,
    q.vendor_tokens_per_minute
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
        least(q.requests_per_minute, q.vendor_requests_per_minute) as requests,
        case
            when q.tokens_per_minute is not null then least(q.tokens_per_minute, q.vendor_tokens_per_minute)
        end as tokens
) as m
cross join lateral (
    select
        quota_shown(u.requests, m.requests, q.burst_s) as requests,
        quota_shown(u.tokens, m.tokens, q.burst_s) as tokens
) as n;
