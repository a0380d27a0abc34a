-- order: the site of each blog in the order in which they were claimed.
select g.instance_id from blog_generations as g where g.claimed_at is not null order by g.claimed_at, g.attempt, g.id;
