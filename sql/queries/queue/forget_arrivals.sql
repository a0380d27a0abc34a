-- forget_arrivals: delete the arrivals that admit_sites.sql does not need: repeats of a site, of which the oldest
-- arrival stays, and arrivals of sites that were deleted. A site that another transaction keeps locked cannot be
-- admitted, and gets an arrival with each statement that inserts jobs; they would fill the 10,000 oldest arrivals, and
-- no other site would be found behind them.
-- Gives  one row: gone int: of the 10,000 oldest.
-- Locks  the arrivals that it keeps of sites with repeats, and those that it deletes, skipping those that other
--        transactions have locked: it never waits. The one that stays cannot be admitted before this commits, so whoever
--        admits it then sees the jobs of all the others.
with oldest as materialized (
    select n.id, n.instance_id from site_arrivals as n order by n.id limit 10000
),

kept as materialized (
    select a.id, a.instance_id
    from site_arrivals as a
    where a.id = any (array(select min(o.id) from oldest as o group by o.instance_id having count(*) > 1))
    for update of a skip locked
),

useless as materialized (
    select a.id
    from site_arrivals as a
    where
        a.id = any (
            array(
                select o.id from oldest as o join kept as k using (instance_id) where o.id <> k.id
                union all
                select o.id
                from oldest as o
                where not exists (select from sites as s where s.instance_id = o.instance_id)
            )
        )
    for update of a skip locked
),

gone as (
    delete from site_arrivals as a where a.id = any (array(select u.id from useless as u))
    returning a.id
)

select count(*)::integer as gone from gone;
