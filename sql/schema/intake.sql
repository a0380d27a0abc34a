-- Intake: the one way in for SQL, CLI, Python and HTTP, with the limits that all of them meet.

-- One row: how many waited when they were last counted, at most a second ago, and the newest job then. With what has
-- come since, producers need not count ten thousand rows for each job. They count if there is no fresh figure, or it
-- leaves no room.
create table queue_gauge (
    one boolean primary key default true check (one),
    pending bigint not null default 0,
    newest bigint not null default 0,
    counted_at timestamptz not null default to_timestamp(0),

    constraint counts_are_bounded check (pending between 0 and 1e15 and newest between 0 and 9223372036854775807),
    constraint times_are_date_times check (
        counted_at between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    )
) with (fillfactor = 10);

insert into queue_gauge default values;

create trigger replace_seeded_row before insert on queue_gauge
for each row when (restoring()) execute function replace_seeded_row('one');

-- Limits -------------------------------------------------------------------------------------------------------------

-- A limit from a setting, at most 2147483647. Null where it is not a number from 0 on: then the default holds, because
-- an error here would stop every insert.
create function limit_in(setting text) returns integer language sql immutable as $$
    select case when setting ~ '^\s*[0-9]{1,100}\s*$' then least(2147483647, setting::numeric)::integer end
$$;

-- The limit in force: the caller's own, else that of its session, else that of the database (`alter database d set
-- blogworker.queue_size_limit = n`), else 10,000. A role that may not update sites can lower it but not raise it
-- above the database's: the setting of a session is not trusted, because any role can change it.
create function queue_size_limit(own integer) returns integer language plpgsql stable as $$
declare
    caller name := case
        when current_setting('role') = 'none' then session_user else current_setting('role')::name
    end; -- not current_user: that is the owner while a security definer function calls this
    wanted integer := coalesce(own, limit_in(current_setting('blogworker.queue_size_limit', true)));
    given integer;
begin
    if has_any_column_privilege(caller, 'sites'::regclass, 'UPDATE') then
        return coalesce(wanted, 10000);
    end if;
    select limit_in(split_part(c.setting, '=', 2)) into given
    from pg_db_role_setting as s
    join pg_database as d on d.datname = current_database() and s.setdatabase in (d.oid, 0)
    cross join unnest(s.setconfig) as c (setting)
    where s.setrole = 0 and split_part(c.setting, '=', 1) = 'blogworker.queue_size_limit'
    order by s.setdatabase desc
    limit 1;
    return least(wanted, coalesce(given, 10000));
end
$$;

-- Raises BW503 with a JSON detail. site null: the queue is full.
create function refuse_blogs(site text, waiting bigint, coming bigint, most integer) returns void
language plpgsql stable as $$
begin
    raise exception
        '% is full: % would wait, at most % may', coalesce('site ' || site, 'the queue'), waiting + coming, most
    using
        errcode = 'BW503',
        detail = json_strip_nulls(json_build_object(
            'queueSize', waiting, 'limit', most, 'instanceId', site,
            'estimatedWaitMinutes', estimated_wait_minutes(waiting)
        )),
        hint = case
            when site is null
                then 'Try again later, or raise the limit: alter database d set blogworker.queue_size_limit = n'
            else 'Try again later, or raise the max_pending of the site.'
        end;
end
$$;

-- Raises BW503 when more jobs of a site would wait than its max_pending.
-- Takes  for_sites and counts, same order: how many more are meant for each.
-- Hints  As announce_sites: planned for 3 sites, it reads all 20,000 at each call.
create function require_site_room(for_sites text[], counts bigint[]) returns void language plpgsql volatile
set enable_seqscan = off set jit = off as $$
declare
    site record;
    before bigint;
begin
    for site in
        select s.instance_id, s.max_pending, i.incoming, w.waiting
        from unnest(for_sites, counts) as i (instance_id, incoming)
        join sites as s using (instance_id)
        cross join lateral (
            select count(*) as waiting
            from (
                select
                from blog_generations as g
                where g.instance_id = s.instance_id and g.status = 'PENDING'
                limit s.max_pending::bigint + 1
            ) as p
        ) as w
        where s.max_pending is not null
    loop
        if site.waiting + site.incoming > site.max_pending then
            before := least(site.waiting, site.max_pending); -- called after the insert, the count includes the new ones
            perform refuse_blogs(
                site.instance_id, before, site.waiting + site.incoming - before, site.max_pending
            );
        end if;
    end loop;
end
$$;

-- Raises BW503 when more jobs would not fit into the queue, or into a site's own share of it. Called before the
--        insert, it
-- saves the work; the insert checks again.
-- Takes  own_limit: see queue_size_limit; it holds until the end of the transaction; for_sites and counts, same
--        order: how many more are meant for each site.
create function require_room(own_limit integer, for_sites text[], counts bigint[]) returns void
language plpgsql volatile as $$
declare
    most integer := queue_size_limit(own_limit);
    coming bigint := (select sum(c) from unnest(counts) as c);
    waiting bigint;
begin
    if own_limit is not null then
        perform set_config('blogworker.queue_size_limit', own_limit::text, true);
    end if;
    if not exists (
        select from queue_gauge as q
        where
            q.counted_at > clock_timestamp() - interval '1 second'
            and q.counted_at <= clock_timestamp()
            and q.pending + greatest(0, (select max(g.id) from blog_generations as g)::double precision - q.newest) + coming
                <= most
    ) then
        waiting := pending_count(most);
        if waiting + coming > most then
            perform refuse_blogs(null, waiting, coming, most);
        end if;
    end if;
    perform require_site_room(for_sites, counts);
end
$$;

-- The limits hold for every INSERT, once for each statement. Two transactions that are open at the same time do not
-- see each other's jobs, so the queue may exceed its limit by what both insert.
-- Hints  As announce_sites: planned for 3 sites, it reads all 20,000 at each insert.
create function blog_generations_within_limits() returns trigger language plpgsql
set enable_seqscan = off set jit = off as $$
declare
    most integer := queue_size_limit(null);
    coming bigint;
    newest_id bigint;
    arrived text[];
    waiting bigint;
begin
    select count(*), max(n.id), array_agg(distinct n.instance_id) into coming, newest_id, arrived
    from new_rows as n
    where n.status = 'PENDING';
    if coming = 0 then
        return null;
    end if;
    if not exists (
        select from queue_gauge as q
        where
            q.counted_at > clock_timestamp() - interval '1 second'
            and q.counted_at <= clock_timestamp()
            and q.pending + greatest(coming, newest_id::double precision - q.newest) <= most
    ) then
        waiting := pending_count(most + coming) - coming; -- these are in the table already
        if waiting + coming > most then
            perform refuse_blogs(null, waiting, coming, most);
        end if;
        perform note_queue_size(waiting + coming, newest_id);
    end if;
    if exists (select from sites as s where s.instance_id = any (arrived) and s.max_pending is not null) then
        perform require_site_room(arrived, array_fill(0::bigint, array[cardinality(arrived)]));
    end if;
    return null;
end
$$;

create trigger within_limits after insert on blog_generations
referencing new table as new_rows
for each statement when (
    current_setting('check_function_bodies') <> 'off' or not has_table_privilege('blog_generations'::regclass, 'TRIGGER')
) execute function blog_generations_within_limits();

-- Stores a fresh count. It never waits: while another transaction has locked the row, others count for themselves. A
-- transaction with an older snapshot could not change it.
create function note_queue_size(waiting bigint, newest_id bigint) returns void language plpgsql volatile as $$
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        return;
    end if;
    perform from queue_gauge for update skip locked;
    if found then
        update queue_gauge set pending = waiting, newest = newest_id, counted_at = clock_timestamp();
    end if;
end
$$;

-- Enqueueing ---------------------------------------------------------------------------------------------------------

-- Reports in words what a check constraint would report by its name.
-- Raises 23514.
create function require_storable(source_data jsonb, run_at timestamptz, publish_at timestamptz) returns void
language plpgsql immutable as $$
declare
    first constant timestamptz := '0001-01-01 00:00:00+00';
    last constant timestamptz := '9999-12-31 23:59:59.999999+00';
begin
    if run_at not between first and last then
        raise exception 'run_at is %: it must be within the years 1 to 9999', run_at
        using errcode = 'check_violation', hint = 'Leave it out, or pause the site to hold its jobs back.';
    end if;
    if publish_at not between first and last then
        raise exception 'publish_at is %: it must be within the years 1 to 9999', publish_at
        using errcode = 'check_violation', hint = 'To publish by hand pass publish_mode => ''draft''.';
    end if;
    if jsonb_path_exists(source_data, 'strict $.**{33 to last}') then
        raise exception 'source_data is nested more than 32 levels deep'
        using errcode = 'check_violation', hint = 'Flatten it.';
    end if;
    if jsonb_path_exists(source_data, 'strict $.** ? (@ > 1e308 || @ < -1e308)') then
        raise exception 'source_data holds a number beyond 1e308'
        using errcode = 'check_violation', hint = 'Put it into a string.';
    end if;
    if octet_length(source_data::text) > 65536 then
        raise exception 'source_data has % bytes: at most 65,536 are allowed', octet_length(source_data::text)
        using errcode = 'check_violation', hint = 'Shorten its texts.';
    end if;
end
$$;

-- The place of a waiting job among those of its site, from 1, counted to 1,000: first what backs off and what has begun,
-- then new jobs by priority and age.
create function place_in_site(g blog_generations) returns integer language sql stable as $$
    select least(e.part_done + e.others, 1000)::integer
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
                    where o.instance_id = g.instance_id and is_started(o)
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
                    order by o.priority desc, o.id -- by the index of waiting jobs
                    limit 1000
                ) as before
            ) as others
    ) as e
$$;

-- Who adds a job: the login, and the name that its program gives, if any.
create function adder(given text) returns text language sql stable as $$
    select coalesce(left(nullif(given, ''), 200) || ' as ', '') || session_user
$$;

-- Adds one job. A repeated idempotency key gives the first job of that key, whatever else is passed.
-- Gives  id, status; created: false for a repeated key; place: its place among the waiting jobs of its site (counted
--        up to 1,000; null once it has started); expected_start: an estimate from that place, the sites in line, the
--        pace of the fleet and that of the site's own Wix quota, not before the quota or cap that it waits
--        for lets it go; null while that is unknown (its site is paused, no worker claims its stage, the total budget
--        is used up, a circuit breaker is open); waits_for: what else it waits for, see v_waiting.
-- Takes  added_by: the person or the token on whose behalf a program calls; its login is stored with it.
-- Raises BW503 when the queue, or the site's share, is full; 23514 when a check of blog_generations refuses the row.
-- Hints  Without them Postgres plans three of its statements for each job: 0.65 of 3.2 ms.
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
    publish_mode text default null,
    added_by text default null
) returns table (
    id bigint, status text, created boolean, place integer, expected_start timestamptz, waits_for text
)
language plpgsql volatile
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
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
            publish_mode, added_by
        )
        values (
            enqueue_blog.instance_id, enqueue_blog.source_type, enqueue_blog.source_id,
            coalesce(enqueue_blog.source_data, '{}'), enqueue_blog.priority::smallint,
            coalesce(enqueue_blog.run_at, now()), enqueue_blog.idempotency_key, coalesce(enqueue_blog.max_attempts, 5),
            enqueue_blog.publish_mode, adder(enqueue_blog.added_by)
        )
        on conflict (instance_id, idempotency_key) where idempotency_key is not null do nothing
        returning blog_generations.id into found_id;
        created := found_id is not null;
        if enqueue_blog.queue_size_limit is not null then -- the limit was for this job only
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
                then greatest(clock_timestamp() + make_interval(secs => expected_wait_s(p.place)), w.until)
        end,
        w.reason
    from blog_generations as g
    left join lateral (select place_in_site(g) as place) as p on g.status = 'PENDING'
    left join lateral (
        select
            nullif(v.reason, 'in line') as reason,
            v.until,
            v.kind not in ('pause', 'stage_pause', 'unserved', 'budget', 'breaker') as known
        from v_waiting as v
        where v.id = g.id
    ) as w on g.status = 'PENDING'
    where g.id = found_id;
end
$$;

-- Creates the sites of a bulk, in one order, so that two bulks with the same new sites cannot deadlock.
create function create_sites(instance_ids text[]) returns void language sql volatile as $$
    insert into sites (instance_id)
    select i.instance_id
    from unnest(instance_ids) as i (instance_id)
    order by i.instance_id
    on conflict do nothing
$$;

-- Adds a batch of jobs; repeated idempotency keys are skipped.
-- Takes  blogs: an array of objects with the arguments of enqueue_blog by name.
-- Gives  a row for each new job: its place in the array, counted from 1, and its id.
-- Raises BW503 when the queue, or the site's share, is full; 23514 when a check of blog_generations refuses a row.
-- Locks  the keys, in one order, so that two batches of the same keys cannot deadlock.
create function enqueue_blogs(blogs jsonb) returns table (place integer, id bigint) language sql volatile as $$
    with incoming as materialized (
        select nextval(pg_get_serial_sequence('blog_generations', 'id')) as id, row_number() over () as place, b.*
        from jsonb_to_recordset(blogs) as b (
            instance_id text, source_type text, source_id text, source_data jsonb, priority smallint,
            run_at timestamptz, publish_at timestamptz, idempotency_key text, max_attempts integer, publish_mode text,
            added_by text
        )
    ),

    added as (
        insert into blog_generations (
            id, instance_id, source_type, source_id, source_data, priority, run_at, idempotency_key, max_attempts,
            publish_mode, added_by
        )
        overriding system value
        select
            i.id, i.instance_id, i.source_type, i.source_id, coalesce(i.source_data, '{}'), coalesce(i.priority, 0),
            coalesce(i.run_at, now()), i.idempotency_key, coalesce(i.max_attempts, 5), i.publish_mode,
            adder(i.added_by)
        from incoming as i
        order by i.instance_id, i.idempotency_key
        on conflict (instance_id, idempotency_key) where idempotency_key is not null do nothing
        returning blog_generations.id
    ),

    timed as (
        insert into scheduled_blogs (blog_generation_id, publish_at)
        select i.id, i.publish_at
        from incoming as i
        join added as a on a.id = i.id
        where i.publish_at is not null
    )

    select i.place::integer, i.id
    from incoming as i
    join added as a on a.id = i.id
$$;
