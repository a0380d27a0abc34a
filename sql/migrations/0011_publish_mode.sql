-- Whether a blog is published or left as a draft for its owner, by itself: null, as its site's settings say.
alter table blog_generations
    add column publish_mode text,
    -- Not valid: reading the whole table for it would hold everybody up. 0014 does, and holds up nobody.
    add constraint publish_mode_is_known check (publish_mode in ('publish', 'draft')) not valid;

drop function enqueue_blog(
    text, text, text, jsonb, integer, timestamptz, timestamptz, text, integer, integer
);

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
    queue_size_limit integer default null,
    publish_mode text default null
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
            where
                o.instance_id = g.instance_id
                and o.status = 'PENDING'
                and (-o.priority::integer, o.id) <= (-g.priority::integer, g.id)
            limit 1000
        ) as before
    ) as p on g.status = 'PENDING'
    where g.id = found_id;
end
$$;

-- A draft that its owner deleted before it was published is forgotten when a person retries the blog, so that another is
-- made. A post there is none: `publish.deleted` is saved only where Wix has neither.
create function forget_deleted_draft() returns trigger language plpgsql as $$
begin
    delete from generation_stages as s
    where
        s.generation_id = old.id
        and s.stage in ('publish.intent', 'publish.draft', 'publish.asked', 'publish.deleted')
        and exists (
            select from generation_stages as d where d.generation_id = old.id and d.stage = 'publish.deleted'
        );
    return new;
end
$$;

create trigger forget_deleted_draft before update on blog_generations
for each row when (
    old.status in ('FAILED', 'CANCELLED') and new.status in ('PENDING', 'SCHEDULED') and old.stage = 'publish'
)
execute function forget_deleted_draft();
