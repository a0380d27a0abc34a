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

-- Refuses, with BW503 and a JSON detail, when more jobs would not fit into the queue, or into a site's own share of it.
-- Takes    own_limit: see queue_size_limit; for_sites and counts, same order: how many more are meant for each site.
create function require_room(own_limit integer, for_sites text[], counts bigint[]) returns void
language plpgsql stable as $$
declare
    most integer := queue_size_limit(own_limit);
    queue_size bigint := pending_count(most);
    site record;
begin
    if queue_size + (select sum(c) from unnest(counts) as c) > most then
        raise exception 'the queue is full: % waiting, at most % may', queue_size, most
        using
            errcode = 'BW503',
            detail = json_build_object(
                'queueSize', queue_size, 'limit', most, 'estimatedWaitMinutes', estimated_wait_minutes(queue_size)
            ),
            hint = 'Try again later, or raise the limit: alter database d set blogworker.queue_size_limit = n';
    end if;
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
                limit s.max_pending
            ) as p
        ) as w
        where s.max_pending is not null
    loop
        if site.waiting + site.incoming > site.max_pending then
            raise exception 'site % is full: % waiting, at most % may',
                site.instance_id, site.waiting, site.max_pending
            using
                errcode = 'BW503',
                detail = json_build_object(
                    'queueSize', site.waiting, 'limit', site.max_pending, 'instanceId', site.instance_id,
                    'estimatedWaitMinutes', estimated_wait_minutes(site.waiting)
                ),
                hint = 'Try again later, or raise the max_pending of the site.';
        end if;
    end loop;
end
$$;

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
