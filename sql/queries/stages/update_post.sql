-- update_post: change some columns of the post of the job; a null keeps the stored value, and costs nothing, however
-- large it is. Once the post is published and has an address, the library of the site gets the address too. Fenced.
-- Takes  worker_id uuid; job_id; attempt; image bytea; image_type; image_prompt; wix_media_id; wix_draft_id;
--        wix_post_id; url.
-- Gives  one row: stored boolean, false: the job has no post, see store_post; no row if the attempt has lost its claim:
--        then nothing was written.
-- Locks  the job.
with held as (
    select g.id, g.instance_id
    from blog_generations as g
    where is_attempt(g, %(job_id)s, %(attempt)s, %(worker_id)s)
    for no key update
),

listed as (
    update site_posts as l
    set url = %(url)s::text
    from held as h
    where
        l.instance_id = h.instance_id
        and l.generation_id = h.id
        and %(wix_post_id)s::text is not null
        and %(url)s::text is not null
),

updated as (
    update blog_posts as b
    set
        image = coalesce(%(image)s::bytea, b.image),
        image_type = coalesce(%(image_type)s::text, b.image_type),
        image_prompt = coalesce(%(image_prompt)s::text, b.image_prompt),
        wix_media_id = coalesce(%(wix_media_id)s::text, b.wix_media_id),
        wix_draft_id = coalesce(%(wix_draft_id)s::text, b.wix_draft_id),
        wix_post_id = coalesce(%(wix_post_id)s::text, b.wix_post_id),
        url = coalesce(%(url)s::text, b.url),
        updated_at = now(),
        published_at = coalesce(b.published_at, case when %(wix_post_id)s::text is not null then now() end)
    from held as h
    where b.generation_id = h.id
    returning b.generation_id
)

select exists (select from updated) as stored
from held;
