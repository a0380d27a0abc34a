-- seed_end: end a job as the seed did, whichever worker ran it.
-- Takes  job_id, status.
update blog_generations as g set status = %(status)s where g.id = %(job_id)s and g.status = 'PROCESSING';
