-- prune: delete a batch of jobs that ended long ago, with their checkpoints, errors and posts, the oldest first.
-- Takes  older_than_s; batch.
-- Gives  one row: pruned int.
-- Locks  the jobs, skipping those locked by other transactions. Claims never lock jobs that have ended.
with old as (
    select g.id
    from blog_generations as g
    where g.finished_at < now() - make_interval(secs => %(older_than_s)s)
    order by g.finished_at
    limit %(batch)s::integer
    for update skip locked
),

pruned as (
    delete from blog_generations as g
    where g.id = any (array(select o.id from old as o))
    returning g.id
)

select count(*)::integer as pruned from pruned;
