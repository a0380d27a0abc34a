-- sweep_sites: announce sites that have jobs in line but are not in the line of sites, because the jobs were inserted
-- without triggers (a restore, replication). Also let sites at their cap be checked again if capped_until is far in the
-- future, because a clock was ahead when it was written.
-- Takes  after text: the instance_id to continue from, at first ''; batch int: most sites with PENDING jobs to check.
-- Gives  one row: looked_at int; repaired int; last text: the last instance_id checked.
-- Locks  the sites that it repairs, skipping those that other transactions have locked.
--
-- It jumps from site to site in the index of waiting jobs: a site costs the same with one job and with a million.
with recursive next_site as (
    (
        select g.instance_id, 1 as n
        from blog_generations as g
        where g.status = 'PENDING' and g.instance_id > %(after)s
        order by g.instance_id
        limit 1
    )
    union all
    select
        (
            select g.instance_id
            from blog_generations as g
            where g.status = 'PENDING' and g.instance_id > p.instance_id
            order by g.instance_id
            limit 1
        ),
        p.n + 1
    from next_site as p
    where p.instance_id is not null and p.n < %(batch)s::integer
),

forgotten as materialized (
    select s.instance_id
    from next_site as n
    join sites as s using (instance_id)
    where
        not s.ready
        and not exists (select from site_arrivals as a where a.instance_id = n.instance_id)
        and site_has_pending(n.instance_id)
    for no key update of s skip locked
),

announced as (
    insert into site_arrivals (instance_id, notified) select f.instance_id, false from forgotten as f
    returning instance_id
),

late as materialized (
    select s.instance_id
    from sites as s
    where s.at_cap and s.capped_until > now() + interval '1 minute'
    order by s.capped_until desc
    limit %(batch)s::integer
    for no key update skip locked
),

freed as (
    update sites as s set capped_until = now() where s.instance_id = any (array(select l.instance_id from late as l))
    returning s.instance_id
)

select
    (select count(*) from next_site as n where n.instance_id is not null)::integer as looked_at,
    (select count(*) from announced)::integer + (select count(*) from freed)::integer as repaired,
    (select max(n.instance_id) from next_site as n) as last;
