-- store_post: insert or update the post of the job; a null keeps the stored value. Once the post is published and has
-- an address, the library of the site gets the address too. Fenced.
-- Takes  worker_id uuid; job_id; attempt; post jsonb: columns of blog_posts by name, without the bytes of the image;
--        image bytea.
-- Gives  one row; no row if the attempt has lost its claim: then nothing was written.
-- Locks  the job.
with held as (
    select g.id, g.instance_id
    from blog_generations as g
    where is_attempt(g, %(job_id)s, %(attempt)s, %(worker_id)s)
    for no key update
),

listed as (
    update site_posts as l
    set url = %(post)s::jsonb ->> 'url'
    from held as h
    where
        l.instance_id = h.instance_id
        and l.generation_id = h.id
        and %(post)s::jsonb ->> 'wix_post_id' is not null
        and %(post)s::jsonb ->> 'url' is not null
)

insert into blog_posts as b (
    generation_id, instance_id, title, slug, excerpt, markdown, html, tags, seo_title, seo_description, word_count,
    image, image_type, image_alt, image_prompt, wix_media_id, wix_draft_id, wix_post_id, url, score, published_at
)
select
    h.id, h.instance_id, p.title, p.slug, p.excerpt, p.markdown, p.html, coalesce(p.tags, '{}'), p.seo_title,
    p.seo_description, p.word_count, %(image)s::bytea, p.image_type, p.image_alt, p.image_prompt, p.wix_media_id,
    p.wix_draft_id, p.wix_post_id, p.url, p.score, case when p.wix_post_id is not null then now() end
from held as h
cross join lateral jsonb_to_record(%(post)s::jsonb) as p (
    title text, slug text, excerpt text, markdown text, html text, tags text[], seo_title text, seo_description text,
    word_count integer, image_type text, image_alt text, image_prompt text, wix_media_id text, wix_draft_id text,
    wix_post_id text, url text, score smallint
)
on conflict (generation_id) do update
set
    title = coalesce(excluded.title, b.title),
    slug = coalesce(excluded.slug, b.slug),
    excerpt = coalesce(excluded.excerpt, b.excerpt),
    markdown = coalesce(excluded.markdown, b.markdown),
    html = coalesce(excluded.html, b.html),
    tags = case when excluded.tags = '{}' then b.tags else excluded.tags end,
    seo_title = coalesce(excluded.seo_title, b.seo_title),
    seo_description = coalesce(excluded.seo_description, b.seo_description),
    word_count = coalesce(excluded.word_count, b.word_count),
    image = coalesce(excluded.image, b.image),
    image_type = coalesce(excluded.image_type, b.image_type),
    image_alt = coalesce(excluded.image_alt, b.image_alt),
    image_prompt = coalesce(excluded.image_prompt, b.image_prompt),
    wix_media_id = coalesce(excluded.wix_media_id, b.wix_media_id),
    wix_draft_id = coalesce(excluded.wix_draft_id, b.wix_draft_id),
    wix_post_id = coalesce(excluded.wix_post_id, b.wix_post_id),
    url = coalesce(excluded.url, b.url),
    score = coalesce(excluded.score, b.score),
    updated_at = now(),
    published_at = coalesce(b.published_at, excluded.published_at)
returning b.generation_id as job_id;
