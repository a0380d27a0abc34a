-- chaos_claims: every claim, in order.
-- Gives  job_id, instance_id, attempt, at.
select h.job_id, h.instance_id, h.attempt, h.at
from chaos_history as h
where h.new_status = 'PROCESSING'
order by h.n;
