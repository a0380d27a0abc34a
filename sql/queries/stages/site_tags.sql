-- site_tags: read the tags of the latest posts of a site, the most used first. See the function.
-- Takes  instance_id; job_id, whose own tags are excluded; posts int: how many posts are read.
-- Gives  tag, in its most used spelling.
-- Plan   blog_posts_site_idx, from its newest entry.
select t.tag from site_tags(%(instance_id)s::text, %(job_id)s::bigint, %(posts)s::integer) as t;
