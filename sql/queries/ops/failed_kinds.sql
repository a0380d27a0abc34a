-- failed_kinds: the kinds of the last errors of FAILED jobs, the most frequent first.
-- Takes  nothing.
-- Gives  kind.
select e.kind
from blog_generations as g
cross join lateral (
    select l.kind from generation_errors as l where l.generation_id = g.id order by l.id desc limit 1
) as e
where g.status = 'FAILED'
group by e.kind
order by count(*) desc, e.kind;
