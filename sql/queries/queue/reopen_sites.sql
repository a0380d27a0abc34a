-- reopen_sites: put sites back into the line that are marked as at their cap and are not. The triggers see to that; this
-- heals what they cannot: a job ended in a transaction that was open while the site got its first cap and was counted.
-- Gives  instance_id of each.
-- Locks  the sites, skipping those that others have locked; the count is made once the lock is acquired.
with shut as materialized (
    select s.instance_id
    from sites as s
    where s.at_cap and s.capped_until is null -- else admit_sites does it in time
    for no key update skip locked
)

update sites as s
set at_cap = false, virtual_time = greatest(s.virtual_time, service_floor())
from shut as h
where
    s.instance_id = h.instance_id
    and (s.max_in_flight is null or site_in_flight(s.instance_id) < s.max_in_flight)
returning s.instance_id;
