-- admit_sites: put sites that got work back into the line. Run before every claim; on most days it finds nothing.
-- Gives  instance_id of each site that joined.
-- Locks  arrivals and their sites, skipping what others hold: it never waits.
with arrivals as (
    select a.id, a.instance_id
    from site_arrivals as a
    order by a.id
    limit 10000
    for update skip locked
),

joining as (
    select s.instance_id
    from sites as s
    where s.instance_id = any (array(select distinct a.instance_id from arrivals as a)) -- by the primary key
    for no key update skip locked
),

gone as (
    delete from site_arrivals as d
    using arrivals as a, joining as j
    where d.id = a.id and a.instance_id = j.instance_id
)

update sites as s
set ready = true, ready_at = clock_timestamp(), virtual_time = greatest(s.virtual_time, f.virtual_time)
from joining as j, (select service_floor() as virtual_time) as f
where s.instance_id = j.instance_id and not s.ready
returning s.instance_id;
