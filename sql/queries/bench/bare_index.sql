-- bare_index: create the index that bare_claim uses.
create index bare_blogs_pending on bare_blogs (job_id) where status = 'PENDING';
