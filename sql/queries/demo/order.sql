-- order: the site of each blog in the order in which they were claimed; within one claim, turn by turn.
select g.instance_id
from blog_generations as g
where g.claimed_at is not null
order by
    g.claimed_at,
    row_number() over (partition by g.claimed_at, g.instance_id order by g.priority desc, g.id),
    g.id;
