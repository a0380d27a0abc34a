-- seed_end: the end of a blog, whoever made it.
-- Takes  job_id, status.
update blog_generations as g set status = %(status)s where g.id = %(job_id)s and g.status = 'PROCESSING';
