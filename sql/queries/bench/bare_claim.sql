-- bare_claim: claim the next blog of the bare worker.
-- Gives  job_id, instance_id, source_type, source_id, source_data; no row if no blog is left.
-- Locks  the blog, skipping those that other transactions have locked.
update bare_blogs as b
set status = 'PROCESSING'
from (
    select p.job_id from bare_blogs as p where p.status = 'PENDING' order by p.job_id limit 1 for update skip locked
) as n
where b.job_id = n.job_id
returning b.job_id, b.instance_id, b.source_type, b.source_id, b.source_data;
