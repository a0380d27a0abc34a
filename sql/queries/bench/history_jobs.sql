-- history_jobs: the times of each job, from chaos_history.
-- Gives  job_id, instance_id; enqueued_s, claimed_s and done_s: seconds of the database's clock, the first time or null;
--        attempts; status: now.
select
    h.job_id,
    h.instance_id,
    extract(epoch from min(h.at) filter (where h.old_status is null))::double precision as enqueued_s,
    extract(epoch from min(h.at) filter (where h.new_status = 'PROCESSING'))::double precision as claimed_s,
    extract(epoch from min(h.at) filter (where h.new_status = 'DONE'))::double precision as done_s,
    max(h.attempt) as attempts,
    (array_agg(h.new_status order by h.n desc))[1] as status
from chaos_history as h
group by h.job_id, h.instance_id
order by h.job_id;
