-- reviewed_posts: posts with the checkpoints they were made from.
-- Takes  job_ids bigint[].
-- Gives  rows in the order of job_ids, no row for a job without a post: id, instance_id, site (its name), status,
--        finished_at; post without its image; source, idea, written (the content checkpoint without its text), ended (the
--        publish checkpoint), each null if it is missing; title_of, slug_of: the job that has claimed the title or slug on
--        this site, 0 if that job was pruned, null if it is not claimed.
select
    p.generation_id as id,
    p.instance_id,
    o.name as site,
    g.status,
    g.finished_at,
    to_jsonb(p) - 'image' as post,
    (select s.output from generation_stages as s where s.generation_id = p.generation_id and s.stage = 'source') as source,
    (
        select s.output -> 'chosen' from generation_stages as s where s.generation_id = p.generation_id and s.stage = 'ideas'
    ) as idea,
    (
        select s.output - array['markdown', 'html']
        from generation_stages as s
        where s.generation_id = p.generation_id and s.stage = 'content'
    ) as written,
    (select s.output from generation_stages as s where s.generation_id = p.generation_id and s.stage = 'publish') as ended,
    (
        select coalesce(t.generation_id, 0)
        from site_titles as t
        where t.instance_id = p.instance_id and t.key = title_key(p.title)
    ) as title_of,
    (
        select coalesce(t.generation_id, 0) from site_slugs as t where t.instance_id = p.instance_id and t.slug = p.slug
    ) as slug_of
from unnest(%(job_ids)s::bigint[]) with ordinality as w (id, place)
join blog_posts as p on p.generation_id = w.id
join blog_generations as g on g.id = w.id
join sites as o on o.instance_id = p.instance_id
order by w.place;
