-- The way in that every producer shares: SQL, CLI, Python and HTTP meet the same limits.

-- Minutes until a queue of this size is worked off: at the rate of the last ten minutes, else the seed's 50 a minute.
create function estimated_wait_minutes(queue_size bigint) returns integer language sql stable as $$
    select ceil(queue_size / coalesce(nullif(d.finished, 0) / 10.0, 50))::integer
    from (
        select count(*) as finished
        from (
            select
            from blog_generations as g
            where g.finished_at > now() - interval '10 minutes'
            limit 100000
        ) as lately
    ) as d
$$;

-- PENDING jobs, counted no further than the limit, so that it costs the same whatever the backlog. Only by the index of
-- what waits: to the planner a scan of the table may look as cheap, but that reads first all that ended long ago.
create function pending_count(up_to bigint) returns bigint language sql stable
set enable_seqscan = off set enable_bitmapscan = off as $$
    select count(*)
    from (select from blog_generations as g where g.status = 'PENDING' limit up_to) as waiting
$$;

-- Sites that a claim would serve, counted no further than the limit, by their index: most sites are idle.
create function sites_in_line(up_to bigint) returns bigint language sql stable
set enable_seqscan = off set enable_bitmapscan = off as $$
    select count(*)
    from (select from sites as s where s.ready and not s.at_cap and s.paused_at is null limit up_to) as line
$$;

-- The limit in force: the caller's own, else the database's (`alter database d set blogworker.queue_size_limit = n`).
create function queue_size_limit(own integer) returns integer language sql stable as $$
    select coalesce(own, nullif(current_setting('blogworker.queue_size_limit', true), '')::integer, 10000)
$$;

-- How many waited when it was last counted, at most a second ago, and the newest blog then: with what has come since,
-- producers need not count ten thousand rows for each blog. Where there is no fresh count, or it leaves no room, they do.
create table queue_gauge (
    one boolean primary key default true check (one),
    pending bigint not null default 0,
    newest bigint not null default 0,
    counted_at timestamptz not null default to_timestamp(0)
) with (fillfactor = 10);

insert into queue_gauge default values;

create trigger give_way before insert on queue_gauge
for each row when (restoring()) execute function give_way('one');

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

-- Refuses when more of a site wait than its share of the queue allows.
-- Takes    for_sites and counts, same order: how many more are meant for each.
create function require_site_room(for_sites text[], counts bigint[]) returns void language plpgsql volatile
set enable_seqscan = off as $$
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
                limit s.max_pending + 1
            ) as p
        ) as w
        where s.max_pending is not null
    loop
        if site.waiting + site.incoming > site.max_pending then
            before := least(site.waiting, site.max_pending); -- where it is asked after the insert, the new ones are in it
            perform refuse_blogs(
                site.instance_id, before, site.waiting + site.incoming - before, site.max_pending
            );
        end if;
    end loop;
end
$$;

-- Refuses, with BW503 and a JSON detail, when more jobs would not fit into the queue, or into a site's own share of it.
-- Asked before they are inserted, it saves the work; the insert asks again.
-- Takes    own_limit: see queue_size_limit; it holds until the end of the transaction; for_sites and counts, same order:
--          how many more are meant for each site.
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

-- The limits hold for every INSERT, once a statement. Two transactions that are open at the same time do not see each
-- other's blogs, so the queue may exceed its limit by what both insert.
create function blog_generations_within_limits() returns trigger language plpgsql
set enable_seqscan = off as $$
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

-- Waits for nobody: while another transaction has the row, others count for themselves. One with an older snapshot could
-- not change it.
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

create trigger within_limits after insert on blog_generations
referencing new table as new_rows
for each statement when (
    current_setting('check_function_bodies') <> 'off' or not has_table_privilege('blog_generations'::regclass, 'TRIGGER')
) execute function blog_generations_within_limits();

-- Adds one blog. A repeated idempotency key gives the first blog of that key, whatever else is passed.
-- Gives    id, status; created: false for a repeated key; place: its place among its site's waiting blogs (counted to
--          1,000; null once it has started); expected_start: a guess from that place, the ready sites and the pace.
-- Raises   BW503 when the queue, or the site's share, is full; 23514 when a check of blog_generations refuses the row.
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
    queue_size_limit integer default null
) returns table (id bigint, status text, created boolean, place integer, expected_start timestamptz)
language plpgsql volatile as $$
#variable_conflict use_column
declare
    found_id bigint;
begin
    created := false;
    select g.id into found_id
    from blog_generations as g
    where g.instance_id = enqueue_blog.instance_id and g.idempotency_key = enqueue_blog.idempotency_key;
    if found_id is null then
        perform require_room(enqueue_blog.queue_size_limit, array[enqueue_blog.instance_id], array[1]);
        insert into blog_generations (
            instance_id, source_type, source_id, source_data, priority, run_at, idempotency_key, max_attempts
        )
        values (
            enqueue_blog.instance_id, enqueue_blog.source_type, enqueue_blog.source_id,
            coalesce(enqueue_blog.source_data, '{}'), enqueue_blog.priority::smallint,
            coalesce(enqueue_blog.run_at, now()), enqueue_blog.idempotency_key, coalesce(enqueue_blog.max_attempts, 5)
        )
        on conflict on constraint blog_generations_idempotency_key do nothing
        returning blog_generations.id into found_id;
        created := found_id is not null;
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
            when g.status = 'SCHEDULED' then g.run_at
            when p.place is not null then now() + make_interval(mins => estimated_wait_minutes(
                least(p.place * greatest(sites_in_line(1000), 1), 10000) -- at least its own, which may not be in line yet
            ))
        end
    from blog_generations as g
    left join lateral (
        select count(*)::integer as place
        from (
            select
            from blog_generations as o
            where o.instance_id = g.instance_id and o.status = 'PENDING' and (-o.priority, o.id) <= (-g.priority, g.id)
            limit 1000
        ) as before
    ) as p on g.status = 'PENDING'
    where g.id = found_id;
end
$$;
