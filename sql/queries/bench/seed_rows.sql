-- seed_rows: the jobs of seed_claim.
-- Takes  job_ids bigint[].
-- Gives  job_id, instance_id, attempt, source_type, source_id, source_data, site (its settings), created_at.
select
    g.id as job_id,
    g.instance_id,
    g.attempt,
    g.source_type,
    g.source_id,
    g.source_data,
    s.settings as site,
    g.created_at
from blog_generations as g
join sites as s using (instance_id)
where g.id = any (%(job_ids)s::bigint[])
order by g.created_at;
