-- retire_sites: take sites without a PENDING job out of the line. Run after a claim that found them dry.
-- Takes  instance_ids text[].
-- Gives  one row: open int, how many of them stay in the line; a look at those soon may find a job.
-- Locks  the sites, skipping those that others hold. An uncommitted insert holds a key share lock on its site, so its
--        site is skipped; whoever committed before the lock was had is seen by site_has_pending, which is why that
--        function must not share this statement's snapshot.
with quiet as materialized (
    select s.instance_id
    from sites as s
    where s.instance_id = any (%(instance_ids)s::text[]) and s.ready
    order by s.instance_id -- as announce_sites
    for update skip locked
),

retired as (
    update sites as s
    set ready = false
    from quiet as q
    where s.instance_id = q.instance_id and not site_has_pending(q.instance_id)
    returning s.instance_id
)

select cardinality(%(instance_ids)s::text[]) - (select count(*) from retired)::integer as open;
