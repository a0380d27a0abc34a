-- What the stages leave behind: checkpoints, errors, posts, and the time a post is to appear.

-- Finished work and effects, one row each: `ideas`, `image.prediction`, `publish.draft` ... Never bought twice.
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
