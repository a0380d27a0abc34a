-- read_stages: how long the stages took.
-- Takes  within_s.
-- Gives  rows: stage; jobs; p50_s: the weighted mean of the minutes; p95_s: of the worst minute.
select
    h.stage,
    sum(h.jobs) as jobs,
    sum(h.p50_s * h.jobs) / sum(h.jobs) as p50_s,
    max(h.p95_s)::double precision as p95_s
from history_stages as h
where h.minute > now() - make_interval(secs => %(within_s)s::double precision)
group by h.stage
order by array_position(array['source', 'ideas', 'content', 'image', 'publish'], h.stage);
