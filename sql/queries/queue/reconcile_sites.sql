-- reconcile_sites: book what ended attempts used beyond, or short of, what their claims charged, and learn what a blog
-- of the site takes. Run every second.
-- Gives  instance_id, blogs: how many it learned from, of each site.
-- Locks  bills and their sites, skipping what others hold: it never waits. The bills of a skipped site stay for later.
--
-- The average moves an eighth of the way with each blog; those of one round count together, by their mean.
with bills as (
    select b.id, b.instance_id, b.correction, b.blog_cost
    from site_bills as b
    order by b.id
    limit 10000
    for update skip locked
),

billed as (
    select s.instance_id
    from sites as s
    where s.instance_id = any (array(select distinct b.instance_id from bills as b)) -- by the primary key
    order by s.instance_id
    for no key update skip locked
),

gone as (
    delete from site_bills as d
    using bills as b, billed as s
    where d.id = b.id and b.instance_id = s.instance_id
),

sums as (
    select
        b.instance_id,
        sum(b.correction) as correction,
        count(b.blog_cost) as blogs,
        coalesce(avg(b.blog_cost), 0) as blog_cost -- times no blogs: nothing
    from bills as b
    join billed as s using (instance_id)
    group by b.instance_id
)

update sites as s
set
    virtual_time = s.virtual_time + u.correction / s.weight,
    turn_cost = least(100, greatest(0.1, s.turn_cost + (1 - 0.875 ^ u.blogs) * (u.blog_cost - s.turn_cost)))
from sums as u
where
    s.instance_id = any (array(select b.instance_id from billed as b)) -- by the primary key
    and s.instance_id = u.instance_id
returning s.instance_id, u.blogs;
