-- posts: the finished posts with the time and cost of their generation, newest first.
-- Gives  rows: job_id, seconds from the claim to the end, cost_usd, and the columns of the post.
select
    g.id as job_id,
    g.instance_id,
    coalesce(s.name, g.instance_id) as site_name,
    g.source_type,
    coalesce(g.source_data ->> 'keyword', g.source_data ->> 'name', g.source_id) as source_label,
    extract(epoch from g.finished_at - g.claimed_at)::double precision as seconds,
    (select sum(c.cost_usd)::double precision from generation_stages as c where c.generation_id = g.id) as cost_usd,
    p.title,
    p.slug,
    p.excerpt,
    p.markdown,
    p.tags,
    p.seo_title,
    p.seo_description,
    p.word_count,
    p.image,
    p.image_type,
    p.image_alt,
    p.wix_post_id,
    p.url
from blog_generations as g
join sites as s using (instance_id)
join blog_posts as p on p.generation_id = g.id
where g.status = 'DONE'
order by g.finished_at desc, g.id desc;
