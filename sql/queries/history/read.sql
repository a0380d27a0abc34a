-- read: the history in equal steps, oldest first. A step without recorded minutes gives no row.
-- Takes  within_s, step_s: seconds; a step is a multiple of a minute.
-- Gives  rows: began; minutes (recorded ones); done, failed, cancelled; pending: at its end, null: unknown; wait_p50_s, total_p50_s:
--        weighted means of the minutes; wait_p95_s, total_p95_s: of the worst minute.
select
    to_timestamp(floor(extract(epoch from h.minute) / %(step_s)s::integer) * %(step_s)s::integer) as began,
    count(*) as minutes,
    sum(h.done) as done,
    sum(h.failed) as failed,
    sum(h.cancelled) as cancelled,
    (array_agg(h.pending order by h.minute desc) filter (where h.pending is not null))[1] as pending,
    sum(h.wait_p50_s * h.done) / nullif(sum(h.done), 0) as wait_p50_s,
    max(h.wait_p95_s)::double precision as wait_p95_s,
    sum(h.total_p50_s * h.done) / nullif(sum(h.done), 0) as total_p50_s,
    max(h.total_p95_s)::double precision as total_p95_s
from history as h
where h.minute > now() - make_interval(secs => %(within_s)s::double precision)
group by began
order by began;
