-- admit_sites: put sites into the line: sites with new jobs (site_arrivals), sites that may run more jobs again
-- (reopen_capped_sites), and sites that left the line for a moment because none of their jobs could start
-- (capped_until). Run before every claim with a small batch, so that the claim waits little; admit.py admits the rest.
-- Takes  batch int: most arrivals, and most sites of the last kind; only text[]: these sites alone, null = all; skipped
--        text[]: sites to skip, see skipped_sites.py.
-- Gives  one row: looked_at int: arrivals or sites of the last kind, whichever is more; a full batch means that more
--        wait; joined int: sites that joined the line.
-- Locks  arrivals and their sites, skipping those that other transactions have locked: it never waits, and locked sites
--        do not delay others.
--
-- Each step scans the batch once, whatever the planner expects: 10,000 sites take 0.2 s. A join of the arrivals with
-- the locked sites compared each with each and took 8.6 s.
with announced as materialized (
    select a.id, s.instance_id, s.ready, s.at_cap, s.capped_until, s.max_in_flight
    from (
        select n.id
        from site_arrivals as n
        where
            (%(only)s::text[] is null or n.instance_id = any (%(only)s::text[]))
            and n.instance_id <> all (%(skipped)s::text[])
        order by n.id
        limit 10000
    ) as oldest
    join site_arrivals as a using (id)
    join sites as s using (instance_id)
    order by a.id
    limit %(batch)s::integer
    for update of a skip locked
    for no key update of s skip locked -- reads the current row: the snapshot may be older than a retire
),

-- Sites that had nothing to start at the last claim. Not with clock_timestamp(), for which no index can be used.
capped as materialized (
    select s.instance_id, s.ready, s.at_cap, s.capped_until, s.max_in_flight
    from sites as s
    where
        s.at_cap
        and s.ready
        and s.capped_until <= statement_timestamp()
        and (%(only)s::text[] is null or s.instance_id = any (%(only)s::text[]))
        and s.instance_id <> all (%(skipped)s::text[])
    order by s.capped_until
    limit %(batch)s::integer
    for no key update skip locked
),

gone as (
    delete from site_arrivals as d where d.id = any (array(select a.id from announced as a))
),

lowest as materialized (select service_floor() as virtual_time),

-- full: the site runs as many jobs as it may; it is announced when one of them ends.
joining as materialized (
    select
        j.*,
        row_number() over (order by j.place) as nth,
        case when j.at_cap and j.max_in_flight is not null then site_in_flight(j.instance_id) >= j.max_in_flight else false end
            as full
    from (
        select a.instance_id, a.ready, a.at_cap, a.capped_until, a.max_in_flight, max(a.id) as place
        from announced as a
        group by a.instance_id, a.ready, a.at_cap, a.capped_until, a.max_in_flight
        union all
        select c.instance_id, c.ready, c.at_cap, c.capped_until, c.max_in_flight, 0 from capped as c
    ) as j
),

joined as (
    update sites as s
    set
        ready = true,
        ready_at = case
            when j.ready then s.ready_at else statement_timestamp() + j.nth * interval '1 microsecond' -- arrival order
        end,
        at_cap = j.full, -- for a site that was not, the claim finds out
        capped_until = null,
        virtual_time = case
            when j.full then s.virtual_time
            else greatest(s.virtual_time, (select l.virtual_time from lowest as l) - s.priority)
        end
    from joining as j
    where
        s.instance_id = j.instance_id
        and (
            (not j.ready and (j.max_in_flight is null or site_has_pending(j.instance_id))) -- maybe only a job ended
            or (j.at_cap and (not j.full or j.capped_until is not null))
        )
    returning j.full
)

select
    greatest((select count(*) from announced), (select count(*) from capped))::integer as looked_at,
    (select count(*) from joined as j where not j.full)::integer as joined;
