-- chaos_ends: attempts that did not finish their blog, and why.
-- Gives  job_id, instance_id, attempt, became, at, error, spent, buying, kind: of the error that was recorded, null: none, handed back.
select h.job_id, h.instance_id, h.attempt, h.became, h.at, h.error, h.spent, h.buying, e.kind
from chaos_history as h
left join lateral (
    select e.kind
    from generation_errors as e
    where e.generation_id = h.job_id and e.attempt = h.attempt
    order by e.id desc
    limit 1
) as e on true
where h.was = 'PROCESSING' and h.became <> 'DONE'
order by h.n;
