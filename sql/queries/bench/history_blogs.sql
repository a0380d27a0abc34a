-- history_blogs: the life of each blog, as chaos_record wrote it down.
-- Gives  job_id, instance_id, came_s, claimed_s (the first time, null: never), done_s (the first time, null: never), all
--        in seconds of the database's clock; attempts; status: the present one.
select
    h.job_id,
    h.instance_id,
    extract(epoch from min(h.at) filter (where h.was is null))::double precision as came_s,
    extract(epoch from min(h.at) filter (where h.became = 'PROCESSING'))::double precision as claimed_s,
    extract(epoch from min(h.at) filter (where h.became = 'DONE'))::double precision as done_s,
    max(h.attempt) as attempts,
    (array_agg(h.became order by h.n desc))[1] as status
from chaos_history as h
group by h.job_id, h.instance_id
order by h.job_id;
