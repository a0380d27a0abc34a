-- read_stage_steps: how long the stages took in each step, oldest first. A stage without a job in a step gives no row.
-- Takes  within_s, step_s: seconds; a step is a multiple of a minute.
-- Gives  rows: began; stage; jobs; p50_s: the weighted mean of the minutes; p95_s: of the worst minute.
select
    to_timestamp(floor(extract(epoch from h.minute) / %(step_s)s::integer) * %(step_s)s::integer) as began,
    h.stage,
    sum(h.jobs) as jobs,
    sum(h.p50_s * h.jobs) / sum(h.jobs) as p50_s,
    max(h.p95_s)::double precision as p95_s
from history_stages as h
where h.minute > now() - make_interval(secs => %(within_s)s::double precision)
group by began, h.stage
order by began, array_position(array['source', 'ideas', 'content', 'image', 'publish'], h.stage);
