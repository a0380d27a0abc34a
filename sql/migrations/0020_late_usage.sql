-- Calls report their real usage as of the report, however late it comes; a refund returns no more than the vendor's own
-- bucket can have got back.

alter table quotas
    -- The calls that are granted and have not started, in order: where the clock of tokens stood before each, and when it
    -- may go as far as requests and a block are concerned.
    add column line_clocks timestamptz[] not null default '{}',
    add column line_soonest timestamptz[] not null default '{}',
    add column excess_clock timestamptz not null default to_timestamp(0), -- of tokens, after the last excess
    add constraint line_is_two_equal_lists check (cardinality(line_clocks) = cardinality(line_soonest)),
    add constraint excess_clock_is_a_date_time check (
        excess_clock between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    );

-- One round with a bucket for all of a process's callers: give back, report usage, then reserve.
-- Takes    call_ids, turns, tokens, waited_s: the calls that the process waits to make, with their estimates and how
--          long each has waited so far; those it named before and does not name now are forgotten. unused_tokens: what
--          each call that ended left of its estimate (negative: used beyond it); unused_token_s: how far each token of
--          that call moved the clock; a call that was granted, started and never reached the vendor used
--          none. back_requests_s, back_tokens_s: how far the clocks move back for calls that left before they started,
--          dropped if back_epoch is not the bucket's any more; longest_wait_s: calls that would wait longer in all are
--          refused; ahead_s: calls are granted no earlier than this before they may go, and then, however long they have
--          waited; told_s, told_requests, told_tokens: what the figures of the last minute are to take in, so many
--          seconds ago each. A call that may go at once is in them without being reported; desk_id, number: of those of
--          its rounds that give back or report. Each counts once, however often it is sent.
-- Gives    waits: seconds until each call may go, in the order of call_ids, null where it is not granted; soonest: the
--          same without the clock of tokens; returned_at_s: what calls had given back when it was granted; expected_s:
--          the wait that is left of a call that is not granted; refused: which of these would be too long; request_s,
--          token_s: how far each call that is granted moved the clock of requests, and each of its tokens the other;
--          returned_s: how far calls moved the clock of tokens back so far; epoch.
-- Locks    the bucket's row for the length of one statement; the time is read after the lock is acquired. Then the
--          desk's row in quota_rounds.
--
-- Waiting calls are served in the order of the sites' turns, across all processes: a round grants for all of them,
-- whichever process makes it. Calls are granted shortly before they may go, so that a call with an earlier turn need
-- not wait behind calls that came before it. A process learns in its next round what others have granted to it; that
-- round comes sooner than ahead_s.
--
-- The invariant. Think of the vendor's bucket as one that refills at the limit, holds burst_s plus one call, takes the
-- estimate when a call starts, and is set right by the real usage when that is reported. Whenever a call starts, the
-- bucket holds that call's estimate. It does so however long calls take, however much more or less than their estimates
-- they use, and whatever blocks, changes of the limits and changes of the pace come in between. In terms of the clock: it
-- is never less ahead of now than what calls that started have taken out of the vendor's bucket and not refilled, plus
-- what granted calls are going to take out. So:
--
-- - A call is charged as of its start, not as of its grant: the clock cannot run before that.
-- - Usage beyond the estimate is charged as of the report. A clock that stood still meanwhile is moved to now first: the
--   vendor's bucket was full then, and gained nothing. It is charged at today's price, as the vendor charges it.
-- - A refund moves the clock back no further than the vendor's bucket had room for at the report: a bucket that was
--   full meanwhile, or becomes full before a granted call can start, keeps no credit. It counts at the lower of the
--   price at the grant and today's, because a call that was charged fifty times as much at a fiftieth of the pace gives
--   back only its own tokens.
-- - A refund moves up the calls that are granted, an excess puts them off: as returned_s changes they go so much sooner
--   or later.
-- - A new epoch takes back what is granted and has not started: the clock of tokens goes back to where it was before the
--   first of those calls. So does a pace that is no longer near the one at which calls were granted, else a moment of
--   trouble would leave sparse calls behind it, and a free minute dense ones. What was used beyond estimates stays.
--
-- Outside the invariant, because nobody can know earlier: an excess counts from its report, and for a process from its
-- next round, half a second later at most. The places of calls that leave before they start go once more. A vendor
-- that never sets an estimate right is kept to by the pace, from what its headers say.
--
-- A call takes at least one request's time from the tokens too: calls of few tokens held up by that clock would else go
-- all at once. What that is more than its estimate is neither given back nor set off against usage beyond the estimate: the
-- vendor never took it.
drop function quota_round(
    text, uuid[], double precision[], integer[], double precision[], double precision, double precision,
    double precision, integer, double precision, double precision, double precision[], integer[], integer[], uuid,
    bigint
);
create function quota_round(
    bucket text, call_ids uuid[], turns double precision[], tokens integer[], waited_s double precision[],
    unused_tokens double precision[], unused_token_s double precision[],
    back_requests_s double precision, back_tokens_s double precision, back_epoch integer,
    longest_wait_s double precision, ahead_s double precision,
    told_s double precision[], told_requests integer[], told_tokens integer[], desk_id uuid, number bigint
)
returns table (
    waits double precision[], soonest double precision[], returned_at_s double precision[],
    expected_s double precision[], refused boolean[], request_s double precision[], token_s double precision[],
    returned_s double precision, epoch integer
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
    closed boolean := false; -- nothing more is granted in this round
    granted boolean := false; -- something was
    c record;
    place integer;
    slot bigint;
begin
    -- The row is locked until the commit is over, and nobody needs it on the disk: a crash of the server forgets what
    -- was granted in its last moments.
    perform set_config('synchronous_commit', 'off', true);
    select * into q from quotas where quotas.name = bucket for update;
    if not found then
        raise exception 'no quota named %', bucket using errcode = 'BW404', hint = 'A worker creates its buckets.';
    end if;
    was := q;
    t := clock_timestamp();
    if cardinality(unused_tokens) > 0 or back_requests_s <> 0 or back_tokens_s <> 0 or cardinality(told_s) > 0 then
        insert into quota_rounds as r (desk_id, number, at)
        values (quota_round.desk_id, quota_round.number, t)
        on conflict (desk_id) do update set number = excluded.number, at = excluded.at
        where r.number < excluded.number;
        if not found then
            unused_tokens := '{}';
            unused_token_s := '{}';
            back_epoch := null;
            told_s := '{}';
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
            coalesce(sum(greatest(0, u.tokens) * least(u.token_s, cost.token_s)), 0),
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
            q.slot_requests[place] := quota_counted(q.slot_requests[place], told_requests[told]);
            q.slot_tokens[place] := quota_counted(q.slot_tokens[place], told_tokens[told]);
        end if;
    end loop;

    crowded := exists (select from quota_waits as w where w.bucket = quota_round.bucket);
    if crowded then
        -- Forget what this process no longer waits for, and processes that stopped asking. Grants that they have not
        -- learned of are given back.
        with forgotten as (
            delete from quota_waits as w
            where
                w.bucket = quota_round.bucket
                and (
                    (w.desk_id = quota_round.desk_id and w.call_id <> all (call_ids))
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
                insert into quota_waits as w (call_id, bucket, desk_id, turn, tokens, asked_at, seen_at)
                values (
                    c.call_id, bucket, quota_round.desk_id, c.turn, c.tokens,
                    c.asked_at + c.place * interval '1 microsecond', t -- rounds of other processes know no place
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
    if (q.requests_clock, q.tokens_clock, q.line_epoch) is distinct from
        (was.requests_clock, was.tokens_clock, was.line_epoch) or granted or cardinality(told_s) > 0
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
