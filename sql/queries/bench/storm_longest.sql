-- storm_longest: the longest time and the most attempts that one job needed.
-- Gives  one row: job_s: from the first claim of a job to its last change; attempts.
select
    coalesce(max(j.seconds), 0)::double precision as job_s,
    coalesce(max(j.attempts), 0) as attempts
from (
    select
        extract(epoch from max(h.at) - min(h.at) filter (where h.new_status = 'PROCESSING')) as seconds,
        count(*) filter (where h.new_status = 'PROCESSING') as attempts
    from chaos_history as h
    group by h.job_id
) as j;
