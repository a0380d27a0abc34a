-- order: the site of each job in the order of the claims; within one claim, one job of each site after the other.
-- Gives  rows: instance_id.
select g.instance_id
from blog_generations as g
where g.claimed_at is not null
order by
    g.claimed_at,
    row_number() over (partition by g.claimed_at, g.instance_id order by g.priority desc, g.id),
    g.id;
