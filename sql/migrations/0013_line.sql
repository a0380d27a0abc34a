-- Waiting belongs in the line, not in the slots: what waits is PENDING, and a claim takes only what can start.

-- A job's place in the line of its site -----------------------------------------------------------------------------

-- The number of a stage, from 0: the later the stage, the sooner the job is served among those of its site.
create function stage_number(stage text) returns smallint language sql immutable parallel safe as $$
    select (array_position(array['source', 'ideas', 'content', 'image', 'publish'], stage) - 1)::smallint
$$;

-- A job that was held by two workers when they died, and finished no stage since, is suspected of killing them: it runs
-- alone (claim_suspect.sql), apart from the line.
create function line_number(stage text, rescues integer) returns smallint language sql immutable parallel safe as $$
    select case when rescues >= 2 then -1::smallint else stage_number(stage) end
$$;

-- line: the number of its next stage while the job may be claimed, -1 for a suspect. Null: it is not PENDING, or it rests
-- until run_at (a retry backs off, a vendor named a wait). SCHEDULED is only what its owner put off: run_at, publish_at.
-- What waits already gets its number in 0014, and the indexes over it are made there: both take long.
alter table blog_generations add column line smallint;

create or replace function site_has_pending(site text) returns boolean language plpgsql volatile as $$
begin
    return exists (
        select from blog_generations as g where g.instance_id = site and g.status = 'PENDING' and g.line >= 0
    );
end
$$;

create or replace function blog_generations_guard_insert() returns trigger language plpgsql as $$
begin
    if new.status in ('PENDING', 'SCHEDULED') then
        new.status := case when new.run_at > now() then 'SCHEDULED' else 'PENDING' end;
    end if;
    new.line := case when new.status = 'PENDING' then line_number(new.stage, new.rescues) end;
    new.reserved_usd := null; -- written by reserve_spend for an attempt in progress
    new.reserved_for := null;
    new.charged := null;
    if not exists (select from sites as s where s.instance_id = new.instance_id) then -- cheaper than a vain insert
        insert into sites (instance_id) values (new.instance_id) on conflict do nothing;
    end if;
    return new;
end
$$;

-- A blog whose post is on its site does not fail, whatever went wrong after that. `publish.post`: Wix said so: it is DONE.
-- `publish.asked`: Wix was asked to publish and its answer is not known: it is asked again, until it answers.
create function spare_published(new blog_generations, ran boolean) returns blog_generations language plpgsql volatile as $$
declare
    post text := (
        select s.output ->> 'id' from generation_stages as s where s.generation_id = new.id and s.stage = 'publish.post'
    );
begin
    if post is not null then
        update blog_posts as p
        set wix_post_id = coalesce(p.wix_post_id, post), published_at = coalesce(p.published_at, now())
        where p.generation_id = new.id;
        new.status := 'DONE';
        new.error := null;
    elsif ran and exists (
        select from generation_stages as s
        where s.generation_id = new.id and s.stage = 'publish.asked' and s.output ->> 'refused' is distinct from 'true'
    ) and not exists (
        select from generation_stages as s where s.generation_id = new.id and s.stage = 'publish.deleted'
    ) then
        new.status := 'PENDING';
        new.run_at := now() + interval '10 minutes';
        new.error := 'its post may be on the site already: Wix is asked again. ' || coalesce(new.error, '');
    end if;
    return new;
end
$$;

create or replace function blog_generations_guard_update() returns trigger language plpgsql as $$
declare
    first text; -- the stage from which a retry makes the blog anew
begin
    if new.attempt < old.attempt then
        raise exception 'attempt of blog % cannot go down: it fences old attempts out', old.id using errcode = 'BW409';
    end if;
    if new.status = old.status then
        if new.status = 'PROCESSING' then
            raise exception 'blog % is held: its claim cannot be changed, only settled', old.id
            using errcode = 'BW409', hint = 'Set status to PENDING to take it from its worker.';
        end if;
        return new;
    end if;
    if old.status = 'PROCESSING' and old.cancel_requested_at is not null and new.status in ('PENDING', 'SCHEDULED') then
        new.status := 'CANCELLED'; -- what was asked for wins over every way back into the queue
        new.error := 'cancelled';
    end if;
    if (old.status, new.status) not in (
        ('SCHEDULED', 'PENDING'), ('SCHEDULED', 'CANCELLED'), ('SCHEDULED', 'FAILED'),
        ('PENDING', 'SCHEDULED'), ('PENDING', 'PROCESSING'), ('PENDING', 'CANCELLED'), ('PENDING', 'FAILED'),
        ('PROCESSING', 'PENDING'), ('PROCESSING', 'SCHEDULED'),
        ('PROCESSING', 'DONE'), ('PROCESSING', 'FAILED'), ('PROCESSING', 'CANCELLED'),
        ('FAILED', 'PENDING'), ('FAILED', 'SCHEDULED'), ('FAILED', 'CANCELLED'),
        ('CANCELLED', 'PENDING'), ('CANCELLED', 'SCHEDULED')
    ) then
        raise exception 'blog % cannot go from % to %', old.id, old.status, new.status using errcode = 'BW409';
    end if;
    if new.status = 'FAILED' and old.stage = 'publish' then
        new := spare_published(new, old.status = 'PROCESSING');
    end if;
    if new.status = 'PROCESSING' then
        if new.attempt <> old.attempt + 1 or new.worker_id is null then
            raise exception 'blog % can only be claimed: attempt + 1 and a worker', old.id using errcode = 'BW409';
        end if;
        new.claimed_at := now();
    else
        new.worker_id := null;
    end if;
    if new.status in ('DONE', 'FAILED', 'CANCELLED') then
        new.finished_at := coalesce(new.finished_at, now());
    else
        new.finished_at := null;
    end if;
    if old.status in ('FAILED', 'CANCELLED') and new.status in ('PENDING', 'SCHEDULED') then
        new.failures := 0; -- a person's retry: a full set of attempts again
        new.rescues := 0;
        new.lone_rescues := 0;
        new.error := null;
        new.cancel_requested_at := null;
        perform forget_rejected_work(old.id, old.stage);
        first := retry_stage(new, new.retry_from);
        if first is not null then
            perform forget_from(old.id, first);
            if stage_number(first) < stage_number(new.stage) then
                new.stage := first;
            end if;
        elsif new.retry_from is not null then
            raise exception 'blog % cannot be made anew: its site may have a draft of it', old.id
            using errcode = 'BW409', hint = 'Retry it without retry_from, and it goes on from there.';
        end if;
        new.retry_from := null;
    end if;
    if new.status = 'PENDING' and old.status <> 'PROCESSING' then
        new.run_at := least(new.run_at, now()); -- asked for now; only an attempt that ended may rest first
    end if;
    new.line := case when new.status = 'PENDING' and new.run_at <= now() then line_number(new.stage, new.rescues) end;
    return new;
end
$$;

-- A PENDING job whose time or stage is changed: put off by its owner, or its rest ended. Triggers fire in the order of
-- their names: guard_update comes after this one and sees the status that it sets.
create function blog_generations_guard_line() returns trigger language plpgsql as $$
begin
    if new.run_at > now() and new.run_at is distinct from old.run_at then
        new.status := 'SCHEDULED';
    end if;
    new.line := case when new.status = 'PENDING' and new.run_at <= now() then line_number(new.stage, new.rescues) end;
    return new;
end
$$;

create trigger guard_line before update on blog_generations
for each row when (
    old.status = 'PENDING'
    and new.status = 'PENDING'
    and (
        old.run_at is distinct from new.run_at
        or old.stage is distinct from new.stage
        or old.line is distinct from new.line
        or old.rescues is distinct from new.rescues
    )
) execute function blog_generations_guard_line();

-- Without nested loops: a session keeps the plan of its first statement, and one that was made for a single row would
-- compare each with each when a hundred thousand are changed at once.
create or replace function blog_generations_after_update() returns trigger language plpgsql
set enable_nestloop = off as $$
declare
    arrived text[];
    relieved text[];
begin
    select
        array_agg(distinct n.instance_id) filter (
            where n.line >= 0 and (o.line is null or o.line < 0 or n.instance_id <> o.instance_id)
        ),
        array_agg(distinct o.instance_id) filter (
            where o.status = 'PROCESSING' and (n.status <> o.status or n.instance_id <> o.instance_id)
        )
    into arrived, relieved
    from new_rows as n
    join old_rows as o using (id)
    where n.status <> o.status or n.line is distinct from o.line or n.instance_id <> o.instance_id;
    perform announce_sites(arrived);
    perform reopen_capped_sites(relieved);
    return null;
end
$$;

-- A site that has nothing to start now ------------------------------------------------------------------------------

-- capped_until: a site at its cap is looked at again then, whether or not one of its jobs has ended; null: only when one
-- has. Beside max_in_flight a site is at its cap when its Wix quota carries no more blogs than it has under way.
alter table sites add column capped_until timestamptz;

drop index sites_at_cap_idx;
create index sites_at_cap_idx on sites (capped_until, instance_id) where at_cap; -- admit_sites.sql, reopen_sites.sql
create index sites_at_cap_time_idx on sites (virtual_time) where at_cap; -- service_floor

-- Where a site joins the line: at the lowest virtual time now in service; when nobody is in line, at the highest of
-- those that have work but are at their cap, else at the highest there has been.
-- Far below the most that a site may have: one to which somebody gave that would else take all others up to it.
create or replace function service_floor() returns double precision language sql stable
set enable_seqscan = off set enable_bitmapscan = off as $$
    select least(1e12, coalesce(
        (
            select s.virtual_time
            from sites as s
            where s.ready and not s.at_cap and s.paused_at is null
            order by s.virtual_time, s.ready_at desc
            limit 1
        ),
        (select s.virtual_time from sites as s where s.at_cap order by s.virtual_time desc limit 1),
        (select max(s.virtual_time) from sites as s),
        0
    ))
$$;

create or replace function reopen_capped_sites(relieved text[]) returns void language plpgsql volatile
set enable_seqscan = off as $$
begin
    if relieved is null then
        return;
    end if;
    insert into site_arrivals (instance_id, notified)
    select s.instance_id, true
    from sites as s
    where s.instance_id = any (relieved) and (s.max_in_flight is not null or s.at_cap);
    if found then
        perform wake_workers();
    end if;
end
$$;

-- The order in which calls go -----------------------------------------------------------------------------------------

-- Calls that wait for a bucket, of all processes. turn: where the site of the job stood in the round robin when the job
-- was claimed. Claims go by it too, so one rule says who is next everywhere. Only a transaction that has locked the
-- bucket's row changes these rows. Unlogged: after a crash of the server, processes that wait ask again.
create unlogged table quota_waits (
    call_id uuid primary key,
    bucket text not null,
    desk_id uuid not null, -- the process that waits; it asks again several times a second
    turn double precision not null,
    tokens integer not null,
    asked_at timestamptz not null,
    seen_at timestamptz not null,
    starts_at timestamptz, -- null: not granted yet
    soonest_at timestamptz, -- the same without the clock of tokens
    returned_s double precision, -- what calls had given back of the tokens when it was granted
    request_s double precision, -- what it was charged when it was granted: for the request, for each token
    token_s double precision
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

create index quota_waits_bucket_idx on quota_waits (bucket, turn, asked_at);

-- How far the clocks of a bucket have been granted ahead of t, in seconds: when the next call could go.
create function quota_ahead_s(q quotas, t timestamptz) returns double precision language sql immutable as $$
    select greatest(
        0,
        extract(epoch from q.blocked_until - t),
        extract(epoch from q.requests_clock - t) - q.burst_s,
        case when q.tokens_per_minute is not null then extract(epoch from q.tokens_clock - t) - q.burst_s end
    )::double precision
$$;

-- How far one request, and one token, moves its clock at time t; token_s 0 where tokens are not counted.
create function quota_cost(q quotas, t timestamptz, out request_s double precision, out token_s double precision)
language sql immutable as $$
    select
        60 / (quota_pace(q, t) * least(q.requests_per_minute, q.vendor_requests_per_minute)),
        case
            when q.tokens_per_minute is null then 0
            else 60 / (quota_pace(q, t) * least(q.tokens_per_minute, q.vendor_tokens_per_minute))
        end
$$;

-- A count of a slot with what comes to it. Bounded, so that the sum of the slots is an integer.
create function quota_counted(count integer, more integer) returns integer language sql immutable as $$
    select greatest(-100000000, least(100000000, count::bigint + more))::integer
$$;

-- One round with a bucket for all of a process's callers: give back, report usage, then reserve.
-- Takes    call_ids, turns, tokens, waited_s: the calls that the process waits to make, with their estimates and how
--          long each has waited so far; those it named before and does not name now are forgotten. unused_s: how far
--          the clock of tokens moves back for what calls did not use (negative: used beyond the estimate);
--          back_requests_s, back_tokens_s: the same for calls never made, dropped if back_epoch is not the bucket's any
--          more; longest_wait_s: calls that would wait longer in all are refused; ahead_s: calls are granted no earlier
--          than this before they may go, and then, however long they have waited; told_s, told_requests, told_tokens:
--          what the figures of the last minute are to take in, so many seconds ago each. A call that may go at once is
--          in them without being reported; desk_id, number: of those of its rounds that give back or report. Each
--          counts once, however often it is sent.
-- Gives    waits: seconds until each call may go, in the order of call_ids, null where it is not granted; soonest: the
--          same without the clock of tokens; returned_at_s: what calls had given back when it was granted; expected_s:
--          the wait that is left of a call that is not granted; refused: which of these would be too long; request_s,
--          token_s: how far each call that is granted moved the clock of requests, and each of its tokens the other;
--          returned_s: what calls gave back so far; epoch.
-- Locks    the bucket's row for the length of one statement; the time is read after the lock is acquired. Then the
--          desk's row in quota_rounds.
--
-- Waiting calls are served in the order of the sites' turns, across all processes: a round grants for all of them,
-- whichever process makes it. Calls are granted shortly before they may go, so that a call with an earlier turn need
-- not wait behind calls that came before it. A process learns in its next round what others have granted to it; that round
-- comes sooner than ahead_s.
--
-- Each clock runs by itself, so that what is given back moves it back. A call takes at least one request's time from
-- the tokens too: calls of few tokens held up by that clock would else go all at once. What is given back is counted
-- in the seconds it was charged, since the pace may have changed in between.
--
-- What calls give back of their tokens moves up those already granted: as returned_s grows they go so much sooner.
--
-- A new epoch takes back what is granted and not due: the clocks go back to where calls under way can have brought
-- them. So does a pace that is no longer near the one at which calls were granted, else a moment of trouble would leave
-- sparse calls behind it, and a free minute dense ones.
drop function quota_round(
    text, integer[], double precision, double precision, double precision, integer, double precision,
    double precision[], integer[], integer[], uuid, bigint
);
create function quota_round(
    bucket text, call_ids uuid[], turns double precision[], tokens integer[], waited_s double precision[],
    unused_s double precision, back_requests_s double precision, back_tokens_s double precision, back_epoch integer,
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
    next_requests timestamptz;
    next_tokens timestamptz;
    a_request interval;
    pace double precision;
    under_way_s double precision;
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
    select k.request_s, k.token_s into cost from quota_cost(q, t) as k;
    a_request := make_interval(secs => cost.request_s);
    under_way_s := q.burst_s + greatest(cost.request_s, cost.token_s * q.line_tokens);
    if pace not between q.line_pace * 0.8 and q.line_pace * 1.25 then
        q.epoch := (q.epoch + 1) % 2000000000;
    end if;
    if q.line_epoch <> q.epoch then
        q.requests_clock := least(q.requests_clock, t + make_interval(secs => q.burst_s) + a_request);
        q.tokens_clock := least(q.tokens_clock, t + make_interval(secs => under_way_s));
        q.line_epoch := q.epoch;
        q.line_pace := pace;
        update quota_waits as w set starts_at = null where w.bucket = quota_round.bucket and w.starts_at > t;
    end if;
    q.tokens_clock := least(q.tokens_clock - make_interval(secs => unused_s), t + interval '1000 years');
    q.returned_s := greatest(-1e15, least(1e15, q.returned_s + unused_s));
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
        if cost.token_s > 0 then
            next_tokens := greatest(next_tokens, t, q.blocked_until)
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

-- What may start ------------------------------------------------------------------------------------------------------

-- What a blog takes of each bucket. Takes, in the order of the stages: the bucket of each stage's call, null: none; the
-- tokens reserved for it.
-- Gives    of each bucket: calls of a blog; blog_s: the time in which the bucket lets one more blog through; request_s
--          and token_s: how far one of each moves its clocks, a token by what calls of the last minute used of what was
--          reserved; ahead_s: see quota_ahead_s.
create function bucket_needs(buckets text[], tokens integer[], t timestamptz)
returns table (
    bucket text, calls integer, blog_s double precision, request_s double precision, token_s double precision,
    ahead_s double precision
) language sql stable as $$
    select
        q.name,
        n.calls,
        greatest(n.calls * k.request_s, n.tokens * k.token_s * u.used),
        k.request_s,
        k.token_s * u.used,
        quota_ahead_s(q, t)
    from (
        select s.bucket, count(*)::integer as calls, sum(s.tokens)::double precision as tokens
        from unnest(buckets, tokens) as s (bucket, tokens)
        where s.bucket is not null
        group by s.bucket
    ) as n
    join quotas as q on q.name = n.bucket
    cross join lateral quota_cost(q, t) as k
    cross join lateral (
        select
            least(
                1.25,
                greatest(
                    0.25, coalesce(sum(c.tokens) / nullif(sum(c.requests), 0) / nullif(n.tokens / n.calls, 0), 1)
                )
            ) as used
        from unnest(q.slot_requests, q.slot_tokens) as c (requests, tokens)
    ) as u
$$;

-- How many jobs may be claimed now, by the quotas that all sites share.
-- Takes    buckets, tokens: as bucket_needs; leads: seconds from the claim of a new blog to the call of each stage;
--          patience_s: the longest that a claimed job may wait for a quota. buckets null: there are no quotas.
-- Gives    of each stage: line, its number; bucket, null: its calls need none that all sites share; calls: how many jobs at it would get their call within half of the patience,
--          null: any; starts: of the first stage, how many new blogs may start, null: any.
--
-- A new blog may start when every quota that it will need lets it through in time. As many blogs are on their way to a
-- bucket as it lets through in the time that one of them needs to get there, and a few more wait for it, so that it
-- never idles. When one passes, another starts. This limits the work in progress (CONWIP; Spearman, Woodruff and Hopp 1990),
-- which follows the pace of the narrowest quota by itself.
--
-- Half of the patience, so that jobs that go on to their next stage find room beside those claimed at it.
create function stage_rooms(
    buckets text[], tokens integer[], leads double precision[], patience_s double precision, t timestamptz
)
returns table (line smallint, stage text, bucket text, calls integer, starts integer) language sql stable as $$
    with needs as materialized (select * from bucket_needs(buckets, tokens, t) where buckets is not null),

    stages as (
        select
            (n - 1)::smallint as line,
            s.stage,
            case when n = 1 then buckets[2] else buckets[n] end as bucket, -- a source is read for the ideas
            case when n = 1 then tokens[2] else tokens[n] end as tokens,
            leads[n] as lead_s,
            (select count(*) from generate_series(2, n - 1) as m where buckets[m] = buckets[n]) as calls_before
        from unnest(array['source', 'ideas', 'content', 'image', 'publish']) with ordinality as s (stage, n)
    ),

    -- fresh: claimed a moment ago, so that they may not have asked for their quota yet.
    under_way as (
        select
            stage_number(g.stage) as line,
            count(*) as jobs,
            count(*) filter (where g.claimed_at > t - make_interval(secs => patience_s / 10)) as fresh
        from blog_generations as g
        where g.status = 'PROCESSING' and buckets is not null
        group by 1
    ),

    -- Of a site that is paused, or that may run no more, they go nowhere, and must not keep others from starting.
    part_done as (
        select p.line, count(*) as jobs
        from (
            select
                f.line, f.max_in_flight, row_number() over (partition by f.instance_id order by f.line desc) as nth
            from (
                select g.instance_id, g.line, o.max_in_flight
                from blog_generations as g
                cross join lateral (
                    select s.paused_at, s.max_in_flight from sites as s where s.instance_id = g.instance_id limit 1
                ) as o -- by the primary key: as a join, a few jobs are reason enough to scan the sites
                where
                    g.status = 'PENDING' and g.line between 1 and 3 and buckets is not null and o.paused_at is null
                limit 1000
            ) as f
        ) as p
        where p.max_in_flight is null or p.nth <= p.max_in_flight
        group by p.line
    ),

    waiting as (
        select w.bucket, count(*) as calls
        from quota_waits as w
        where w.starts_at is null and w.seen_at > t - interval '5 seconds' -- its process is alive, see quota_round
        group by w.bucket
    ),

    rooms as (
        select
            s.line,
            s.stage,
            s.bucket,
            case
                when n.bucket is null then null
                when n.ahead_s >= patience_s / 2 then 0
                else greatest(
                    0,
                    ceil((patience_s / 2 - n.ahead_s) / greatest(n.request_s, s.tokens * n.token_s))
                    - coalesce(w.calls, 0)
                    - coalesce(
                        (
                            select sum(u.fresh)
                            from under_way as u
                            join stages as o using (line)
                            where o.bucket = s.bucket
                        ),
                        0
                    )
                )
            end as calls,
            case
                when n.bucket is null then null
                else ceil((s.lead_s + 0.6 * patience_s) / n.blog_s)
                    + s.calls_before -- one more waits for a call of its own in the same bucket
                    - coalesce((select sum(u.jobs) from under_way as u where u.line < s.line), 0)
                    - coalesce((select sum(p.jobs) from part_done as p where p.line <= s.line), 0)
                    - coalesce((select u.fresh from under_way as u where u.line = s.line), 0)
                    - coalesce(w.calls, 0)
            end as starts
        from stages as s
        left join needs as n using (bucket)
        left join waiting as w using (bucket)
    )

    select
        r.line,
        r.stage,
        r.bucket,
        least(r.calls, 1000000)::integer,
        case
            when r.line = 0 and buckets is not null then (
                select greatest(0, least(min(o.starts), 1000000))::integer from rooms as o where o.line > 0
            )
        end
    from rooms as r
$$;

-- Why it waits --------------------------------------------------------------------------------------------------------

-- What the workers that are alive need, as one of them wrote it into its row (Gate.needs): the buckets of the calls of
-- ideas, content and image, the tokens reserved for each, the seconds of a blog, calls a minute to one site, null: none
-- are made, and those of one blog; slots: of all workers. No row while none is alive.
create function fleet_needs(
    out buckets text[], out tokens integer[], out blog_s double precision, out site_rpm double precision,
    out site_calls double precision, out slots bigint
) returns setof record language sql stable as $$
    select
        array(select b.value from jsonb_array_elements_text(w.stats #> '{needs,buckets}') as b),
        array(select json_number(b.value, 1000000)::integer from jsonb_array_elements(w.stats #> '{needs,tokens}') as b),
        json_number(w.stats #> '{needs,blog_s}', 86400),
        json_number(w.stats #> '{needs,site_rpm}', 2147483647),
        json_number(w.stats #> '{needs,site_calls}', 1000),
        (select sum(o.concurrency) from workers as o where o.lease_until > now() and not o.draining)
    from workers as w
    where
        w.lease_until > now()
        and jsonb_typeof(w.stats #> '{needs,buckets}') = 'array'
        and jsonb_typeof(w.stats #> '{needs,tokens}') = 'array'
    order by w.draining, w.name
    limit 1
$$;

-- Everything that waits, which is what counts against the limits of the queue: why, and until when, where that is
-- known. What its owner put off (SCHEDULED) does not count as waiting.
create view v_waiting as
-- What a claim at each stage depends on: the provider whose breaker counts, and the bucket of its call.
with stages as (
    select
        v.stage,
        coalesce(split_part(v.bucket, '/', 1), v.provider) as provider,
        v.bucket,
        now() + make_interval(secs => least(1e9, quota_ahead_s(q, now()))) as goes_at
    from (
        values
        ('source', 'openai', (select n.buckets[1] from fleet_needs() as n)),
        ('ideas', 'openai', (select n.buckets[1] from fleet_needs() as n)),
        ('content', 'openai', (select n.buckets[2] from fleet_needs() as n)),
        ('image', 'replicate', (select n.buckets[3] from fleet_needs() as n)),
        ('publish', 'wix', null)
    ) as v (stage, provider, bucket)
    left join quotas as q on q.name = v.bucket
)

select
    g.id,
    g.instance_id,
    g.stage,
    g.created_at,
    coalesce(r.kind, 'line') as kind,
    coalesce(r.reason, 'in line') as reason,
    r.until
from blog_generations as g
join sites as s using (instance_id)
join stages as t using (stage)
left join provider_health as h on h.provider = t.provider and h.state <> 'closed'
left join fleet_budget as b on b.shut_until > now() and g.stage <> 'publish'
left join quotas as o on g.stage = 'publish' and o.name = 'wix/' || g.instance_id
left join lateral (
    select c.kind, c.reason, c.until
    from (
        values
        (
            1,
            'rest',
            g.line is null,
            coalesce(
                'backs off: ' || regexp_replace(
                    regexp_replace(g.error, ', request_id [^ ,)]+', ''), '^(.{99}).{2,}$', '\1…'
                ),
                'not due yet'
            ), -- without the request id, so that equal reasons count as one
            g.run_at
        ),
        (2, 'pause', s.paused_at is not null, 'its site is paused: ' || coalesce(s.pause_reason, 'no reason given'), s.resume_at),
        (3, 'budget', b.one is not null, b.shut_reason, b.shut_until),
        (
            4,
            'breaker',
            h.provider is not null,
            format('the circuit breaker of %s is open: %s', h.provider, coalesce(h.reason, 'no reason given')),
            h.retry_at
        ),
        (5, 'quota', t.goes_at > now() + interval '2 seconds', format('the quota %s is used up', t.bucket), t.goes_at),
        (
            6,
            'site_quota',
            quota_ahead_s(o, now()) > 2,
            'the quota of its site is used up',
            now() + make_interval(secs => least(1e9, quota_ahead_s(o, now())))
        ),
        (7, 'cap', s.at_cap, 'its site has as many under way as it may', s.capped_until),
        (8, 'suspect', g.line = -1, 'suspected of killing its worker: it runs alone', null)
    ) as c (n, kind, holds, reason, until)
    where c.holds
    order by c.n
    limit 1
) as r on true
where g.status = 'PENDING';

-- Estimates -----------------------------------------------------------------------------------------------------------

-- Sites that have jobs waiting, counted no further than the limit: in line, and at their cap.
create function waiting_sites(up_to bigint) returns bigint language sql stable
set enable_seqscan = off set enable_bitmapscan = off as $$
    select
        sites_in_line(up_to)
        + (select count(*) from (select from sites as s where s.at_cap and s.ready limit up_to) as capped)
$$;

-- Blogs a minute that the workers which are alive can make of what waits, by the narrowest of: the quotas, their slots,
-- the Wix quotas of so many sites. Null: no worker is alive. What they need is in their rows, see Gate.needs.
create function fleet_capacity(for_sites bigint) returns double precision language sql stable as $$
    select
        least(
            (select min(60 / f.blog_s) from bucket_needs(n.buckets, n.tokens, clock_timestamp()) as f),
            n.slots * 60 / nullif(n.blog_s, 0),
            greatest(for_sites, 1) * nullif(n.site_rpm, 0) / nullif(n.site_calls, 0)
        )
    from fleet_needs() as n
$$;

-- Seconds until the most blocked of the quotas that blogs need lets a call go.
create function fleet_blocked_s() returns double precision language sql stable as $$
    select coalesce(
        (
            select max(extract(epoch from q.blocked_until - clock_timestamp()))::double precision
            from fleet_needs() as n
            join quotas as q on q.name = any (n.buckets)
            where q.blocked_until > clock_timestamp()
        ),
        0
    )
$$;

-- Blogs a minute to expect: what the fleet can make. If the blogs that ended lately had waited for it, the fleet was
-- busy, and the pace is what it really made. The seed's 50 when neither is known.
create function blogs_per_minute() returns double precision language sql stable as $$
    select
        case
            when c.capacity is null then coalesce(nullif(m.a_minute, 0), 50)
            when m.ended >= 20 and m.waited_s > 60 then greatest(0.001, least(m.a_minute, 1.5 * c.capacity))
            else greatest(0.001, c.capacity) -- it is divided by
        end
    from (select fleet_capacity(waiting_sites(1000)) as capacity) as c
    cross join (
        select
            count(*) as ended,
            60 * count(*) / greatest(1, extract(epoch from clock_timestamp() - min(l.finished_at)))::double precision
                as a_minute,
            percentile_cont(0.5) within group (order by extract(epoch from l.claimed_at - l.created_at)) as waited_s
        from (
            select g.finished_at, g.claimed_at, g.created_at
            from blog_generations as g
            where g.finished_at > now() - interval '10 minutes'
            order by g.finished_at desc
            limit 200
        ) as l
    ) as m
$$;

create or replace function estimated_wait_minutes(queue_size bigint) returns integer language sql stable as $$
    select least(1000000, ceil(queue_size / blogs_per_minute() + fleet_blocked_s() / 60))::integer
$$;

-- Adds one blog. A repeated idempotency key gives the first blog of that key, whatever else is passed.
-- Gives    id, status; created: false for a repeated key; place: its place among its site's waiting blogs (counted to
--          1,000; null once it has started); expected_start: an estimate from that place, the sites in line, the pace
--          of the fleet and that of the site's own Wix quota, null while nobody knows (its site is paused, the total
--          budget is used up, a circuit breaker is open); waits_for: what holds it back
--          beside its place in line, see v_waiting.
-- Raises   BW503 when the queue, or the site's share, is full; 23514 when a check of blog_generations refuses the row.
drop function enqueue_blog(
    text, text, text, jsonb, integer, timestamptz, timestamptz, text, integer, integer, text
);
create function enqueue_blog(
    instance_id text,
    source_type text,
    source_id text default null,
    source_data jsonb default '{}',
    priority integer default 0,
    run_at timestamptz default null,
    publish_at timestamptz default null,
    idempotency_key text default null,
    max_attempts integer default null,
    queue_size_limit integer default null,
    publish_mode text default null
) returns table (
    id bigint, status text, created boolean, place integer, expected_start timestamptz, waits_for text
)
language plpgsql volatile as $$
#variable_conflict use_column
declare
    found_id bigint;
    limit_before text := current_setting('blogworker.queue_size_limit', true);
begin
    created := false;
    select g.id into found_id
    from blog_generations as g
    where g.instance_id = enqueue_blog.instance_id and g.idempotency_key = enqueue_blog.idempotency_key;
    if found_id is null then
        perform require_storable(enqueue_blog.source_data, enqueue_blog.run_at, enqueue_blog.publish_at);
        perform require_room(enqueue_blog.queue_size_limit, array[enqueue_blog.instance_id], array[1]);
        insert into blog_generations (
            instance_id, source_type, source_id, source_data, priority, run_at, idempotency_key, max_attempts,
            publish_mode
        )
        values (
            enqueue_blog.instance_id, enqueue_blog.source_type, enqueue_blog.source_id,
            coalesce(enqueue_blog.source_data, '{}'), enqueue_blog.priority::smallint,
            coalesce(enqueue_blog.run_at, now()), enqueue_blog.idempotency_key, coalesce(enqueue_blog.max_attempts, 5),
            enqueue_blog.publish_mode
        )
        on conflict on constraint blog_generations_idempotency_key do nothing
        returning blog_generations.id into found_id;
        created := found_id is not null;
        if enqueue_blog.queue_size_limit is not null then -- it is this blog's own
            perform set_config('blogworker.queue_size_limit', coalesce(limit_before, ''), true);
        end if;
    end if;
    if created and enqueue_blog.publish_at is not null then
        insert into scheduled_blogs (blog_generation_id, publish_at) values (found_id, enqueue_blog.publish_at);
    end if;
    if found_id is null then -- another transaction with the same key won the race
        select g.id into strict found_id
        from blog_generations as g
        where g.instance_id = enqueue_blog.instance_id and g.idempotency_key = enqueue_blog.idempotency_key;
    end if;
    return query
    select
        g.id,
        g.status,
        enqueue_blog.created,
        p.place,
        case
            when g.status = 'SCHEDULED' or (g.line is null and g.run_at > now()) then g.run_at
            when p.place is not null and w.known
                then clock_timestamp() + make_interval(secs => expected_wait_s(p.place))
        end,
        w.reason
    from blog_generations as g
    left join lateral (
        select least(e.part_done + e.others, 1000)::integer as place
        from (
            select
                (
                    select count(*)
                    from (
                        select
                        from blog_generations as o
                        where o.instance_id = g.instance_id and o.status = 'PENDING' and o.line is null
                        limit 1000
                    ) as first
                ) + (
                    select count(*)
                    from (
                        select
                        from blog_generations as o
                        where o.instance_id = g.instance_id and o.status = 'PENDING' and o.line > 0
                        limit 1000
                    ) as first
                ) as part_done,
                (
                    select count(*)
                    from (
                        select
                        from blog_generations as o
                        where
                            o.instance_id = g.instance_id
                            and o.status = 'PENDING'
                            and o.line = 0
                            and o.priority >= g.priority
                            and (o.priority > g.priority or o.id <= g.id)
                        order by o.priority desc, o.id -- by the index of what waits
                        limit 1000
                    ) as before
                ) as others
        ) as e
    ) as p on g.status = 'PENDING'
    left join lateral (
        select nullif(v.reason, 'in line') as reason, v.kind not in ('pause', 'budget', 'breaker') as known
        from v_waiting as v
        where v.id = g.id
    ) as w on g.status = 'PENDING'
    where g.id = found_id;
end
$$;

-- Seconds until the blog at this place of its site starts: what is blocked goes on, then a round of the sites in line
-- serves one blog of each, its own among them even if it is not in line yet. A site is served no faster than its own Wix
-- quota lets its blogs out.
create function expected_wait_s(place integer) returns double precision language sql stable as $$
    select
        least(1e9, fleet_blocked_s())
        + least(1e9, 60 * greatest(
            least(place * greatest(sites_in_line(1000), 1), greatest(pending_count(10000), place)) / blogs_per_minute(),
            coalesce((select (place - 1) * n.site_calls / nullif(n.site_rpm, 0) from fleet_needs() as n), 0)
        ))
$$;

-- Restore -------------------------------------------------------------------------------------------------------------

-- The table of the migrations is made before the first of them, where they are run by `blogworker migrate`.
do $$
declare
    migrations regclass := to_regclass('blogworker_migrations');
begin
    if migrations is not null then
        execute format(
            'create trigger give_way before insert on %s '
            'for each row when (restoring()) execute function give_way(''version'')',
            migrations
        );
    end if;
end
$$;
