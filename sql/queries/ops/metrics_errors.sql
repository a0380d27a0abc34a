-- metrics_errors: the kinds of the attempts that failed in the last hour, the most frequent first.
-- Takes  most: number of kinds; sample: only the newest `sample` errors are read.
-- Gives  rows: kind, errors.
-- Plan   generation_errors_created_idx.
select n.kind, count(*) as errors
from (
    select e.kind
    from generation_errors as e
    where e.created_at > now() - interval '1 hour'
    order by e.created_at desc
    limit %(sample)s::bigint
) as n
group by n.kind
order by errors desc, n.kind
limit %(most)s::bigint;
