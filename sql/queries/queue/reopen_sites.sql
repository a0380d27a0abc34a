-- reopen_sites: put sites back into the line that are marked as at their cap but are not. Usually the triggers do that.
-- They cannot when a job ends in a transaction that was open while the site got its first cap and its jobs were
-- counted.
-- Takes  after text: the instance_id to continue from, at first ''; batch int: most sites to check.
-- Gives  one row: looked_at int; reopened int; last text: the last instance_id checked.
-- Locks  sites that seem to be below their cap, skipping those that other transactions have locked. They are counted
--        again after they are locked.
with at_cap_sites as materialized (
    select s.instance_id, s.max_in_flight
    from sites as s
    where s.at_cap and s.capped_until is null and s.instance_id > %(after)s -- otherwise admit_sites does it in time
    order by s.capped_until, s.instance_id -- the first column is null here; it selects the index
    limit %(batch)s::integer
),

below as materialized (
    select s.instance_id, s.at_cap, s.max_in_flight
    from at_cap_sites as h
    join sites as s using (instance_id)
    where h.max_in_flight is null or site_in_flight(h.instance_id) < h.max_in_flight
    for no key update of s skip locked
),

lowest as materialized (select service_floor() as virtual_time),

reopened as (
    update sites as s
    set
        at_cap = false,
        virtual_time = greatest(s.virtual_time, (select l.virtual_time from lowest as l) - s.priority)
    from below as b
    where
        s.instance_id = b.instance_id
        and b.at_cap -- the locked row; a condition on the table could use the wrong index
        and (b.max_in_flight is null or site_in_flight(b.instance_id) < b.max_in_flight)
    returning s.instance_id
)

select
    (select count(*) from at_cap_sites)::integer as looked_at,
    (select count(*) from reopened)::integer as reopened,
    (select max(h.instance_id) from at_cap_sites as h) as last;
