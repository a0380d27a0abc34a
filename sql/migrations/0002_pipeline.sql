-- What the stages leave behind: checkpoints, errors, posts, and the time a post is to appear.

-- Finished work and effects, one row each: `ideas`, `image.prediction`, `publish.draft` ... Never bought twice, unless a
-- person asks for it. `content.forgotten` and its like: what was paid for work that was made anew.
create table generation_stages (
    generation_id bigint not null references blog_generations on delete cascade,
    stage text not null check (stage ~ '^(source|ideas|content|image|publish)([.][a-z_]+)?$'),
    output jsonb not null,
    model text,
    prompt_version text,
    tokens_in integer not null default 0,
    tokens_cached integer not null default 0,
    tokens_out integer not null default 0,
    cost_usd numeric(12, 6), -- null: nothing was paid, or the model has no price in the settings
    duration_s real,
    attempt integer not null,
    created_at timestamptz not null default clock_timestamp(),
    provider text,
    requests integer not null default 0 check (requests between 0 and 1000000000), -- paid calls that the sums are of
    wasted integer not null default 0 check (wasted between 0 and requests), -- of them: not part of the post
    wasted_usd numeric(12, 6) not null default 0 check (wasted_usd between 0 and 999999.999999),
    made_of bigint, -- of `source`: hash of what it was made of; null: not known
    primary key (generation_id, stage)
);

-- One row an attempt that went wrong.
create table generation_errors (
    id bigint generated always as identity primary key,
    generation_id bigint not null references blog_generations on delete cascade,
    attempt integer not null,
    stage text not null,
    kind text not null,
    message text not null,
    provider text,
    status integer, -- HTTP
    code text, -- the vendor's own word
    request_id text,
    retryable boolean not null,
    created_at timestamptz not null default now()
);

create index generation_errors_generation_idx on generation_errors (generation_id, id);
create index generation_errors_created_idx on generation_errors (created_at);
create index generation_errors_lost_idx on generation_errors (created_at) where kind = 'LeaseLost'; -- rescue.sql

create table blog_posts (
    generation_id bigint primary key references blog_generations on delete cascade,
    instance_id text not null references sites,
    title text not null,
    slug text not null,
    excerpt text not null,
    markdown text not null,
    html text not null,
    tags text[] not null default '{}',
    seo_title text not null,
    seo_description text not null,
    word_count integer not null,
    image bytea,
    image_type text,
    image_alt text,
    image_prompt text,
    wix_media_id text,
    wix_draft_id text,
    wix_post_id text,
    url text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    published_at timestamptz
);

create index blog_posts_site_idx on blog_posts (instance_id, generation_id desc);

-- Blogs that are made ahead and published on time.
create table scheduled_blogs (
    blog_generation_id bigint primary key references blog_generations on delete cascade,
    publish_at timestamptz not null,
    created_at timestamptz not null default now()
);

-- Products and ideas that may be used again for a while. Unlogged: losing it costs a call, not a blog.
create unlogged table cache (
    key text primary key,
    value jsonb not null,
    expires_at timestamptz not null
);

create index cache_expires_idx on cache (expires_at);

-- A person's retry ---------------------------------------------------------------------------------------------------

-- A hash of all that a source is made of. Equal numbers have equal hashes, however they are written. The settings left
-- out are not told to the writer: they are read when they are needed.
create function made_of(source_type text, source_id text, source_data jsonb, settings jsonb)
returns bigint language sql immutable as $$
    select jsonb_hash_extended(
        jsonb_build_array(
            source_type, source_id, source_data,
            jsonb_strip_nulls(settings - array['member_id', 'publish_mode', 'image_trouble'])
        ),
        0
    )
$$;

-- Whether the site may have a draft or a post of the blog. A draft that its owner deleted is made anew by a retry.
create function is_shown(job bigint) returns boolean language sql stable as $$
    select exists (
        select from generation_stages as s
        where
            s.generation_id = job
            and (
                s.stage in ('publish', 'publish.draft', 'publish.asked', 'publish.post')
                or (s.stage = 'publish.intent' and s.output ->> 'refused' is distinct from 'true')
            )
    ) and not exists (
        select from generation_stages as s where s.generation_id = job and s.stage = 'publish.deleted'
    )
$$;

-- Whether the post of the blog is on its site.
create function is_published(job bigint) returns boolean language sql stable as $$
    select exists (select from generation_stages as s where s.generation_id = job and s.stage = 'publish.post')
        or exists (select from blog_posts as p where p.generation_id = job and p.wix_post_id is not null)
$$;

-- The stage from which a person's retry makes a blog anew: the one asked for; else `source` where its source_data or the
-- settings of its site are others than those it was made of. Null: none, it goes on from its last checkpoint.
create function retry_stage(job blog_generations, asked text) returns text language plpgsql stable as $$
begin
    if is_shown(job.id) then
        return null; -- it would be a second draft
    end if;
    return coalesce(
        asked,
        (
            select 'source'
            from generation_stages as s
            join sites as o on o.instance_id = job.instance_id
            where
                s.generation_id = job.id
                and s.stage = 'source'
                and s.made_of <> made_of(job.source_type, job.source_id, job.source_data, o.settings)
        )
    );
end
$$;

-- Forgets these checkpoints, those of whole stages by the stage's name. What they cost stays, as waste: `bill` is what
-- the ledger does not have as such yet, and the next attempt books (save_checkpoint.sql). A person's transaction, which may
-- stay open, must not lock rows of the ledger. The titles of forgotten ideas stay, so that none is chosen again.
create function forget_work(job bigint, names text[]) returns void language plpgsql volatile as $$
declare
    gone text[] := array(
        select s.stage
        from generation_stages as s
        where
            s.generation_id = job
            and (s.stage = any (names) or split_part(s.stage, '.', 1) = any (names))
            and s.stage not like '%.forgotten'
    );
begin
    with forgotten as (
        delete from generation_stages as s where s.generation_id = job and s.stage = any (gone) returning s.*
    )

    insert into generation_stages as s (
        generation_id, stage, output, tokens_in, tokens_cached, tokens_out, cost_usd, attempt, requests, wasted, wasted_usd
    )
    select
        job,
        split_part(f.stage, '.', 1) || '.forgotten',
        jsonb_build_object(
            'titles', coalesce(jsonb_agg(f.output -> 'chosen' -> 'title') filter (where f.stage = 'ideas'), '[]'),
            'bill', coalesce(
                jsonb_agg(
                    jsonb_build_object(
                        'provider', f.provider, 'model', f.model, 'calls', f.requests - f.wasted,
                        'usd', greatest(0, coalesce(f.cost_usd, 0) - f.wasted_usd)
                    )
                ) filter (where f.wasted < f.requests and f.provider is not null and f.model is not null),
                '[]'
            )
        ),
        least(1000000000, sum(f.tokens_in::bigint)), least(1000000000, sum(f.tokens_cached::bigint)),
        least(1000000000, sum(f.tokens_out::bigint)), least(999999, sum(f.cost_usd)), max(f.attempt),
        least(1000000000, sum(f.requests::bigint)), least(1000000000, sum(f.requests::bigint)),
        least(999999, coalesce(sum(f.cost_usd), 0))
    from forgotten as f
    group by split_part(f.stage, '.', 1)
    having sum(f.requests) > 0 or bool_or(f.stage = 'ideas')
    on conflict (generation_id, stage) do update
    set
        output = jsonb_build_object(
            'titles', (s.output -> 'titles') || (excluded.output -> 'titles'),
            'bill', coalesce(s.output -> 'bill', '[]') || (excluded.output -> 'bill')
        ),
        tokens_in = least(1000000000, s.tokens_in::bigint + excluded.tokens_in),
        tokens_cached = least(1000000000, s.tokens_cached::bigint + excluded.tokens_cached),
        tokens_out = least(1000000000, s.tokens_out::bigint + excluded.tokens_out),
        cost_usd = case
            when coalesce(s.cost_usd, excluded.cost_usd) is not null
                then least(999999, coalesce(s.cost_usd, 0) + coalesce(excluded.cost_usd, 0))
        end,
        attempt = excluded.attempt,
        requests = least(1000000000, s.requests::bigint + excluded.requests),
        wasted = least(1000000000, s.wasted::bigint + excluded.wasted),
        wasted_usd = least(999999, s.wasted_usd + excluded.wasted_usd);
end
$$;

-- Forgets a stage and those after it, none of which is shown. A cover that Wix has already is of the old picture.
create function forget_from(job bigint, first text) returns void language plpgsql volatile as $$
declare
    stages text[] := array['source', 'ideas', 'content', 'image'];
begin
    perform forget_work(
        job,
        stages[array_position(stages, first):] || array['publish.media', 'publish.intent']
        || case when first <> 'image' then array['publish.tags'] else '{}' end
    );
    update blog_posts as p
    set image = null, image_type = null, image_prompt = null, wix_media_id = null
    where p.generation_id = job;
end
$$;

-- What a stage paid for and was then refused for good must not be met again by a person's retry.
create function forget_rejected_work(job bigint, refused_stage text) returns void language plpgsql volatile as $$
begin
    if refused_stage in ('ideas', 'content', 'image') and (
        select e.kind in ('Rejected', 'Refused', 'Truncated')
        from generation_errors as e
        where e.generation_id = job
        order by e.id desc
        limit 1
    ) then
        perform forget_work(job, array(
            select s.stage from generation_stages as s where s.generation_id = job and s.stage like refused_stage || '.%'
        ));
    end if;
end
$$;

-- The same work is waste as soon as the blog has failed: no retry uses it. Rows of the ledger are locked in one order, as
-- save_checkpoint.sql does.
create function generation_errors_waste() returns trigger language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
begin
    if not exists (
        select from new_rows as n where not n.retryable and n.kind in ('Rejected', 'Refused', 'Truncated')
    ) then
        return null;
    end if;
    with known as (
        select
            s.generation_id, s.stage, s.provider, s.model, g.instance_id, s.requests - s.wasted as calls,
            greatest(0, coalesce(s.cost_usd, 0) - s.wasted_usd) as usd
        from new_rows as n
        join blog_generations as g on g.id = n.generation_id
        join generation_stages as s on s.generation_id = n.generation_id
        where
            not n.retryable
            and n.kind in ('Rejected', 'Refused', 'Truncated')
            and n.stage in ('ideas', 'content', 'image')
            and s.stage like n.stage || '.%'
            and s.wasted < s.requests
    ),

    marked as (
        update generation_stages as s
        set wasted = s.requests, wasted_usd = coalesce(s.cost_usd, 0)
        from known as k
        where s.generation_id = k.generation_id and s.stage = k.stage
    )

    insert into provider_usage as u (hour, provider, model, instance_id, wasted, wasted_usd)
    select date_trunc('hour', now(), 'UTC'), k.provider, k.model, k.instance_id, sum(k.calls), sum(k.usd)
    from known as k
    where k.provider is not null and k.model is not null
    group by k.provider, k.model, k.instance_id
    order by k.provider, k.model, k.instance_id
    on conflict (hour, provider, model, instance_id) do update
    set
        wasted = least(1000000000000000, u.wasted + excluded.wasted),
        wasted_usd = least(99999999, u.wasted_usd + excluded.wasted_usd);
    return null;
end
$$;

create trigger waste after insert on generation_errors
referencing new table as new_rows
for each statement when (
    current_setting('check_function_bodies') <> 'off' or not has_table_privilege('blog_generations'::regclass, 'TRIGGER')
) execute function generation_errors_waste();
