-- seed_claim: the claim of the seed, for comparison. It ranks the whole backlog, and locks nothing.
-- Takes  slots, site_window.
with instance_batches as (
    select g.*, row_number() over (partition by g.instance_id order by g.created_at) as rn
    from blog_generations as g
    where g.status = 'PENDING'
)

select b.id
from instance_batches as b
where b.rn <= %(site_window)s
order by b.created_at
limit %(slots)s;
