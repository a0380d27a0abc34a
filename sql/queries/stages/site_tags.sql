-- site_tags: read the tags of the latest posts of a site, the most used first.
-- Takes  instance_id; job_id, whose own tags are excluded; posts int: how many posts are read.
-- Gives  tag, in its most used spelling.
-- Plan   blog_posts_site_idx, from its newest entry.
select (array_agg(u.tag order by u.uses desc, u.tag))[1] as tag
from (
    select t.tag, count(*) as uses
    from (
        select p.tags
        from blog_posts as p
        where p.instance_id = %(instance_id)s and p.generation_id <> %(job_id)s
        order by p.generation_id desc
        limit %(posts)s::integer
    ) as p
    cross join lateral unnest(p.tags) as t (tag)
    group by t.tag
) as u
group by lower(u.tag)
order by sum(u.uses) desc, lower(u.tag);
