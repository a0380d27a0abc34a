-- bare_end: end a blog of the bare worker.
-- Takes  job_id, status.
update bare_blogs as b set status = %(status)s, finishes = b.finishes + 1 where b.job_id = %(job_id)s;
