-- posts_to_review: posts for a person to read.
-- Takes  job_ids bigint[], null: jobs that finished in the last `within_s` seconds; instance_id, null: all sites;
--        drafts boolean: only drafts on their site; by: 'worst' (score), 'sample' (random) or 'newest'; most.
-- Gives  rows: id, instance_id, title, score (null: the post is older than scores), finished_at; draft: it is a draft, as
--        far as the database knows; reason: why it is not published.
-- Plan   blog_generations_finished_idx, then the primary key of each post.
with chosen as (
    select g.id, g.finished_at
    from unnest(%(job_ids)s::bigint[]) as w (id)
    join blog_generations as g using (id)
    union all
    select g.id, g.finished_at
    from blog_generations as g
    where
        %(job_ids)s::bigint[] is null
        and g.status = 'DONE'
        and g.finished_at > now() - make_interval(secs => %(within_s)s::double precision)
        and (%(instance_id)s::text is null or g.instance_id = %(instance_id)s)
)

select
    p.generation_id as id,
    p.instance_id,
    p.title,
    p.score,
    c.finished_at,
    p.wix_draft_id is not null and p.wix_post_id is null as draft,
    case when p.wix_post_id is null then s.output ->> 'reason' end as reason
from chosen as c
join blog_posts as p on p.generation_id = c.id
left join generation_stages as s on s.generation_id = c.id and s.stage = 'publish'
where not %(drafts)s::boolean or (p.wix_draft_id is not null and p.wix_post_id is null)
order by
    case %(by)s when 'worst' then p.score::double precision when 'sample' then random() end nulls last,
    p.generation_id desc
limit %(most)s;
