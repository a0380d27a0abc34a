-- admit_sites: put sites back into the line: those that got work, those that may run more again (reopen_capped_sites),
-- and those that left it for a moment because nothing of theirs could start (capped_until). Run before every claim.
-- Gives  instance_id of each site that joined.
-- Locks  arrivals and their sites, skipping what others have locked: it never waits.
with arrivals as (
    select a.id, a.instance_id
    from site_arrivals as a
    order by a.id
    limit 10000
    for update skip locked
),

-- Sites that had nothing to start when they were last looked at.
capped as (
    select s.instance_id
    from sites as s
    where s.at_cap and s.ready and s.capped_until <= clock_timestamp()
    order by s.capped_until
    limit 1000
),

-- As they are once locked; the statement's own snapshot may show what they were before a claim or a retire.
joining as (
    select s.instance_id, s.ready, s.at_cap, s.max_in_flight
    from sites as s
    where
        s.instance_id = any (
            array(select a.instance_id from arrivals as a union select c.instance_id from capped as c)
        ) -- by the primary key
    for no key update skip locked
),

gone as (
    delete from site_arrivals as d
    using arrivals as a, joining as j
    where d.id = a.id and a.instance_id = j.instance_id
)

update sites as s
set
    ready = true,
    ready_at = case when j.ready then s.ready_at else clock_timestamp() end,
    at_cap = false, -- if it is after all, the claim finds out
    capped_until = null,
    virtual_time = greatest(s.virtual_time, f.virtual_time)
from joining as j, (select service_floor() as virtual_time) as f
where
    s.instance_id = j.instance_id
    and (
        (not j.ready and (j.max_in_flight is null or site_has_pending(j.instance_id))) -- it may only have ended one
        or (j.at_cap and (j.max_in_flight is null or site_in_flight(j.instance_id) < j.max_in_flight))
    )
returning s.instance_id;
