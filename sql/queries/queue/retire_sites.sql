-- retire_sites: take sites without a PENDING job out of the line. Run after a claim that found no jobs of them.
-- Takes  instance_ids text[]; ahead int: as many sites at the head of the line are checked too, for a claim that found
--        only such sites: after a person cancelled the jobs of 40,000 sites, claims would meet each of them first.
-- Gives  one row: open int: how many of instance_ids stay in the line; a claim soon may find a job there.
-- Locks  the sites, skipping those that other transactions have locked. An uncommitted insert has a key share lock on
--        its site, so that site is skipped. Inserts that committed before this lock are seen by site_has_pending;
--        therefore that function must not share this statement's snapshot.
with head as (
    select s.instance_id
    from sites as s
    where is_in_line(s)
    order by s.virtual_time, s.ready_at desc
    limit %(ahead)s::integer
),

quiet as materialized (
    select s.instance_id
    from sites as s
    where s.instance_id = any (%(instance_ids)s::text[] || array(select h.instance_id from head as h)) and s.ready
    order by s.instance_id -- the same order as announce_sites
    for update skip locked
),

retired as (
    update sites as s
    set ready = false
    from quiet as q
    where s.instance_id = q.instance_id and not site_has_pending(q.instance_id)
    returning s.instance_id
)

select
    cardinality(%(instance_ids)s::text[]) - count(r.instance_id)::integer as open
from retired as r
where r.instance_id = any (%(instance_ids)s::text[]);
