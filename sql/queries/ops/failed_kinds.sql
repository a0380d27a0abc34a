-- failed_kinds: the kinds of the last errors of FAILED jobs, the most frequent first. Unknown: no error was stored.
-- Takes  nothing.
-- Gives  kind.
select coalesce(e.kind, 'Unknown') as kind
from blog_generations as g
left join lateral (
    select l.kind from generation_errors as l where l.generation_id = g.id order by l.id desc limit 1
) as e on true
where g.status = 'FAILED'
group by coalesce(e.kind, 'Unknown')
order by count(*) desc, kind;
