-- reconcile_sites: book the difference between what ended attempts used and what their claims charged, and update the
-- average cost of the site's posts. Run every second.
-- Takes  batch int: most bills; only text[]: these sites alone, null = all; skipped text[]: sites to skip, see
--        skipped_sites.py.
-- Gives  per site: instance_id, blogs: how many posts changed the average; looked_at int: bills booked, of all sites.
-- Locks  bills and their sites, skipping those that other transactions have locked: it never waits. Bills of a locked
--        site stay for later and do not delay others.
--
-- Each post moves the average by an eighth of the difference. Posts of one run count together, by their mean.
with bills as materialized (
    select b.id, b.instance_id, b.correction, b.blogs, b.blogs_cost
    from (
        select n.id
        from site_bills as n
        where
            (%(only)s::text[] is null or n.instance_id = any (%(only)s::text[]))
            and n.instance_id <> all (%(skipped)s::text[])
        order by n.id
        limit 10000
    ) as oldest
    join site_bills as b using (id)
    join sites as s using (instance_id)
    order by b.id
    limit %(batch)s::integer
    for update of b skip locked
    for no key update of s skip locked
),

gone as (
    delete from site_bills as d where d.id = any (array(select b.id from bills as b))
),

booked as (
    update sites as s
    set
        virtual_time = least(1e15, greatest(0, s.virtual_time + u.correction / s.weight)),
        turn_cost = least(100, greatest(0.1, s.turn_cost + (1 - 0.875 ^ u.blogs) * (u.blog_cost - s.turn_cost)))
    from (
        select
            b.instance_id,
            sum(b.correction) as correction,
            sum(b.blogs) as blogs,
            coalesce(sum(b.blogs_cost) / nullif(sum(b.blogs), 0), 0) as blog_cost -- multiplied by zero posts
        from bills as b
        group by b.instance_id
    ) as u
    where s.instance_id = u.instance_id
    returning s.instance_id, u.blogs
)

select k.instance_id, k.blogs, (select count(*) from bills)::integer as looked_at from booked as k;
