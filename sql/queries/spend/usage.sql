-- usage: what each stage of the last finished jobs used, by source type and model.
-- Takes  days: how far to look back; most: how many jobs, the latest ones.
-- Gives  rows: source_type, stage, model, blogs (the number of jobs), and sums: calls, tokens_in, tokens_cached,
--        tokens_out.
with finished as (
    select g.id, g.source_type
    from blog_generations as g
    where g.finished_at > now() - make_interval(days => %(days)s::integer) and g.status = 'DONE'
    order by g.finished_at desc
    limit %(most)s::integer
)

select
    f.source_type,
    split_part(s.stage, '.', 1) as stage,
    s.model,
    count(distinct f.id) as blogs,
    count(*) as calls,
    sum(s.tokens_in) as tokens_in,
    sum(s.tokens_cached) as tokens_cached,
    sum(s.tokens_out) as tokens_out
from finished as f
cross join lateral (
    select c.stage, c.model, c.tokens_in, c.tokens_cached, c.tokens_out
    from generation_stages as c
    where c.generation_id = f.id and c.model is not null
    offset 0 -- forces one index lookup per job: the whole table is the history, and only a few thousand jobs are needed
) as s
group by f.source_type, split_part(s.stage, '.', 1), s.model;
