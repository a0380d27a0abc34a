-- What the stages leave behind: checkpoints, errors, posts, the times of publishing; and what a retry discards of it.

-- Finished work and effects, one row each: `ideas`, `image.prediction`, `publish.draft` ... Never paid for twice,
-- unless a person asks for it. `content.forgotten` and the like: what discarded work cost.
create table generation_stages (
    generation_id bigint not null references blog_generations on delete cascade,
    stage text not null check (stage ~ '^(source|ideas|content|image|publish)([.][a-z_]+)?$'),
    output jsonb not null,
    made_of bigint, -- of `source`: a hash of its input, see made_of; null: unknown
    attempt integer not null,
    created_at timestamptz not null default clock_timestamp(),
    duration_s real,

    -- What it cost.
    provider text,
    model text,
    prompt_version text,
    requests integer not null default 0 check (requests between 0 and 1000000000), -- paid calls that the sums are of
    tokens_in integer not null default 0,
    tokens_cached integer not null default 0,
    tokens_out integer not null default 0,
    cost_usd numeric(12, 6), -- null: nothing was paid, or the settings have no price for the model
    wasted integer not null default 0 check (wasted between 0 and requests), -- of the requests: not part of the post
    wasted_usd numeric(12, 6) not null default 0 check (wasted_usd between 0 and 999999.999999),

    primary key (generation_id, stage),
    constraint output_is_at_most_4_mb check (octet_length(output::text) <= 4194304),
    constraint output_is_readable check (
        not jsonb_path_exists(output, 'strict $.**{33 to last}')
        and not jsonb_path_exists(output, 'strict $.** ? (@ > 1e308 || @ < -1e308)')
    ),
    constraint texts_are_bounded check (length(model) <= 200 and length(prompt_version) <= 200),
    constraint counts_are_bounded check (
        tokens_in between 0 and 1000000000
        and tokens_cached between 0 and 1000000000
        and tokens_out between 0 and 1000000000
        and cost_usd between 0 and 999999.999999
        and duration_s between -1e9 and 1e9
        and attempt between 0 and 2000000000
    ),
    constraint times_are_date_times check (
        created_at between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    )
);

-- One row for each attempt that failed.
create table generation_errors (
    id bigint generated always as identity primary key,
    generation_id bigint not null references blog_generations on delete cascade,
    attempt integer not null,
    stage text not null,
    kind text not null,
    message text not null,
    provider text,
    status integer, -- HTTP
    code text, -- the provider's own word
    request_id text,
    retryable boolean not null,
    created_at timestamptz not null default now(),

    constraint texts_are_bounded check (
        length(stage) <= 200
        and length(kind) <= 200
        and length(message) <= 10000
        and length(provider) <= 200
        and length(code) <= 500
        and length(request_id) <= 500
    ),
    constraint times_are_date_times check (
        created_at between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    )
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
    published_at timestamptz,
    score smallint, -- null: it was made before posts were scored

    constraint texts_are_bounded check (
        length(title) <= 10000
        and length(slug) <= 10000
        and length(excerpt) <= 10000
        and length(markdown) <= 1000000
        and length(html) <= 1000000
        and cardinality(tags) <= 1000
        and length(seo_title) <= 10000
        and length(seo_description) <= 10000
        and length(image_type) <= 10000
        and length(image_alt) <= 10000
        and length(image_prompt) <= 10000
        and length(wix_media_id) <= 10000
        and length(wix_draft_id) <= 10000
        and length(wix_post_id) <= 10000
        and length(url) <= 10000
    ),
    constraint score_is_from_0_to_100 check (score between 0 and 100),
    constraint image_is_at_most_64_mb check (octet_length(image) <= 67108864),
    constraint times_are_date_times check (
        least(created_at, updated_at, published_at) >= '0001-01-01 00:00:00+00'
        and greatest(created_at, updated_at, published_at) <= '9999-12-31 23:59:59.999999+00'
    )
);

-- Pictures are compressed already: to compress them again takes the server longer than the rest of the row.
alter table blog_posts alter column image set storage external;

create index blog_posts_site_idx on blog_posts (instance_id, generation_id desc);

-- The tags of the latest posts of a site in their most used spelling, the most used first.
-- Takes  but_for: the job whose own tags are excluded; posts: how many are read.
create function site_tags(site text, but_for bigint, posts integer) returns table (tag text) language sql stable as $$
    select (array_agg(u.tag order by u.uses desc, u.tag))[1]
    from (
        select t.tag, count(*) as uses
        from (
            select p.tags
            from blog_posts as p
            where p.instance_id = site and p.generation_id <> but_for
            order by p.generation_id desc
            limit posts
        ) as p
        cross join lateral unnest(p.tags) as t (tag)
        group by t.tag
    ) as u
    group by lower(u.tag)
    order by sum(u.uses) desc, lower(u.tag)
$$;

-- Posts that are made ahead of time and published at publish_at.
create table scheduled_blogs (
    blog_generation_id bigint primary key references blog_generations on delete cascade,
    publish_at timestamptz not null,
    created_at timestamptz not null default now(),

    constraint publish_at_is_a_date_time check (
        publish_at between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    ),
    constraint times_are_date_times check (
        created_at between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    )
);

-- Products and ideas that may be used again for a while. Unlogged: losing it costs a call, not a job.
create unlogged table cache (
    key text primary key,
    value jsonb not null,
    expires_at timestamptz not null,

    constraint key_is_at_most_2000_characters check (length(key) <= 2000),
    constraint value_is_at_most_4_mb check (octet_length(value::text) <= 4194304),
    constraint value_is_readable check (
        not jsonb_path_exists(value, 'strict $.**{33 to last}')
        and not jsonb_path_exists(value, 'strict $.** ? (@ > 1e308 || @ < -1e308)')
    ),
    constraint times_are_date_times check (
        expires_at between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    )
);

create index cache_expires_idx on cache (expires_at);

-- Reads a cached value, or acquires the lock of its key: only one attempt requests what is missing.
-- Takes  of: the key; job, try: the new owner; ttl_s: seconds until the lock expires; always: acquire it also if there
--        is a value.
-- Gives  value, as of when the lock was acquired: its last owner may have stored one; ours: whether this attempt has
--        the lock, now or already. A lock also ends when the attempt of its owner ends: settled, or rescued from a dead
--        worker.
-- Locks  the row of the lock.
create function begin_single_flight(
    of text, job bigint, try integer, ttl_s double precision, always boolean, out value jsonb, out ours boolean
) language plpgsql volatile as $$
begin
    ours := false;
    if not always then
        select c.value into value from cache as c where c.key = of and c.expires_at > now();
        if found then
            return;
        end if;
    end if;
    insert into cache as c (key, value, expires_at)
    values (
        of || '/lock', jsonb_build_object('job_id', job, 'attempt', try), now() + make_interval(secs => least(1e9, ttl_s))
    )
    on conflict (key) do update
    set value = excluded.value, expires_at = excluded.expires_at
    where
        c.expires_at <= now()
        or c.value = excluded.value
        or exists (
            select from blog_generations as g
            where
                g.id = (c.value ->> 'job_id')::bigint
                -- A statement that began before the owner's claim sees an older attempt: the owner may still run.
                and g.attempt >= (c.value ->> 'attempt')::integer
                and (g.attempt > (c.value ->> 'attempt')::integer or g.status <> 'PROCESSING')
        );
    ours := found;
    select c.value into value from cache as c where c.key = of and c.expires_at > now();
end
$$;

-- A person's retry ---------------------------------------------------------------------------------------------------

-- A hash of everything that a source is made of. Equal numbers have equal hashes, however they are written. The
-- settings left out are not part of the prompts: they are read when they are needed.
create function made_of(source_type text, source_id text, source_data jsonb, settings jsonb)
returns bigint language sql immutable as $$
    select jsonb_hash_extended(
        jsonb_build_array(
            source_type, source_id, source_data,
            jsonb_strip_nulls(settings - array['member_id', 'publish_mode', 'image_trouble', 'review_every'])
        ),
        0
    )
$$;

-- Whether the site may have a draft or a post of the job. A draft that its owner deleted does not count: a retry
-- makes the post again.
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

-- Whether the post of the job is on its site.
create function is_published(job bigint) returns boolean language sql stable as $$
    select exists (select from generation_stages as s where s.generation_id = job and s.stage = 'publish.post')
        or exists (select from blog_posts as p where p.generation_id = job and p.wix_post_id is not null)
$$;

-- The stage from which a retry by a person makes a post again: the one asked for, else `source` if its source_data or
-- the settings of its site have changed since.
-- Gives  null: it continues from its last checkpoint.
create function retry_stage(job blog_generations, asked text) returns text language plpgsql stable as $$
begin
    if is_shown(job.id) then
        return null; -- making it again would create a second draft
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

-- Discards these checkpoints, those of a whole stage by the name of the stage. Their cost stays, as waste: `bill` is
-- what the ledger does not count as waste yet, and the next attempt books it (save_checkpoint.sql), because a
-- transaction of a person may stay open and must not lock rows of the ledger. The titles of discarded ideas stay, so
-- that none of them is chosen again.
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

-- Discards the work of a stage and of those after it, none of which is on the site. The cover on Wix is of the old
-- picture.
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

-- Discards what a stage paid for before the provider refused it for good, so that a retry does not meet it again.
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

-- Books that work as waste as soon as the job has failed: no retry uses it.
-- Locks  the rows of the ledger in one order, the same as save_checkpoint.sql.
-- Hints  Planned on small tables, it read all jobs and checkpoints, 100,000 of each: 104 ms, 1 ms with the hints.
create function generation_errors_waste() returns trigger language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
declare
    done text;
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

    select add_usage(array_agg(u.usage))::text into done
    from (
        select
            row(
                date_trunc('hour', now(), 'UTC'), k.provider, k.model, k.instance_id, 0, 0, 0, 0, 0, 0, sum(k.calls),
                sum(k.usd), 0, 0
            )::provider_usage as usage
        from known as k
        where k.provider is not null and k.model is not null
        group by k.provider, k.model, k.instance_id
        order by k.provider, k.model, k.instance_id
    ) as u;
    return null;
end
$$;

create trigger waste after insert on generation_errors
referencing new table as new_rows
for each statement when (
    current_setting('check_function_bodies') <> 'off' or not has_table_privilege('blog_generations'::regclass, 'TRIGGER')
) execute function generation_errors_waste();

-- Posts that are on the site -----------------------------------------------------------------------------------------

-- A job whose post is on its site does not fail, whatever went wrong later, and is not cancelled. `publish.post`: Wix
-- has confirmed it, so the job is DONE. `publish.asked`: Wix was asked to publish and its answer was lost, so it is
-- asked again until it answers, unless a person cancels the job.
-- Takes  the row that is about to become FAILED or CANCELLED; ran: it was PROCESSING.
-- Gives  the row as it will be stored.
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
    elsif ran and new.status = 'FAILED' and exists (
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

-- Discards a draft that its owner deleted before it was published, when a person retries the job, so that another
-- one is made. There is no post: `publish.deleted` is saved only if Wix has neither.
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

-- Finding jobs -------------------------------------------------------------------------------------------------------

-- Whether a job mentions a text, in any case: in the title of its post, its source, its error or its site.
create function mentions(g blog_generations, title text, wanted text) returns boolean language sql stable as $$
    select strpos(
        lower(concat_ws(
            ' ', title, g.source_id, g.source_data ->> 'keyword', g.source_data ->> 'name', g.error, g.instance_id
        )),
        lower(wanted)
    ) > 0
$$;

-- The kind of the last error of a job. Unknown: it is FAILED, and no error was stored; null: it has none.
create function last_error_kind(g blog_generations) returns text language sql stable as $$
    select coalesce(
        (select e.kind from generation_errors as e where e.generation_id = g.id order by e.id desc limit 1),
        case when g.status = 'FAILED' then 'Unknown' end
    )
$$;
