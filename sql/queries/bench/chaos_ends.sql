-- chaos_ends: attempts that ended without DONE, in order.
-- Gives  job_id, instance_id, attempt, new_status, at, error, spent, unpaid (see chaos_history); kind: of the stored
--        error, or null.
select h.job_id, h.instance_id, h.attempt, h.new_status, h.at, h.error, h.spent, h.unpaid, e.kind
from chaos_history as h
left join lateral (
    select e.kind
    from generation_errors as e
    where e.generation_id = h.job_id and e.attempt = h.attempt
    order by e.id desc
    limit 1
) as e on true
where h.old_status = 'PROCESSING' and h.new_status <> 'DONE'
order by h.n;
