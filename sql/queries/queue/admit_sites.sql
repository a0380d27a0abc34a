-- admit_sites: put sites back into the line: those that got work, those that may run more again (reopen_capped_sites),
-- and those that left it for a moment because nothing of theirs could start (capped_until). Run before every claim with
-- a small batch, which is all that a claim waits for; admit.py sees to the rest.
-- Takes  batch int: most arrivals, and most sites of the last kind; only text[]: these sites alone, null = all; aside
--        text[]: sites to pass over, see aside.py.
-- Gives  one row: looked_at int: of the kind of which there were more; a full batch tells that more wait; joined int:
--        sites that joined.
-- Locks  arrivals and their sites, skipping what others have locked: it never waits, and sites that are locked hold up no
--        others.
--
-- Each step goes through the batch once, whatever the planner expects: 10,000 sites take 0.2 s. As a join of the arrivals
-- with the sites that were locked it compared each with each, 8.6 s.
with announced as materialized (
    select a.id, s.instance_id, s.ready, s.at_cap, s.capped_until, s.max_in_flight
    from (
        select n.id
        from site_arrivals as n
        where
            (%(only)s::text[] is null or n.instance_id = any (%(only)s::text[]))
            and n.instance_id <> all (%(aside)s::text[])
        order by n.id
        limit 10000
    ) as oldest
    join site_arrivals as a using (id)
    join sites as s using (instance_id)
    order by a.id
    limit %(batch)s::integer
    for update of a skip locked
    for no key update of s skip locked -- as they are now: the snapshot may show what they were before a retire
),

-- Sites that had nothing to start when they were last looked at. Not by clock_timestamp(), which no index is used for.
capped as materialized (
    select s.instance_id, s.ready, s.at_cap, s.capped_until, s.max_in_flight
    from sites as s
    where
        s.at_cap
        and s.ready
        and s.capped_until <= statement_timestamp()
        and (%(only)s::text[] is null or s.instance_id = any (%(only)s::text[]))
        and s.instance_id <> all (%(aside)s::text[])
    order by s.capped_until
    limit %(batch)s::integer
    for no key update skip locked
),

gone as (
    delete from site_arrivals as d where d.id = any (array(select a.id from announced as a))
),

lowest as materialized (select service_floor() as virtual_time),

-- full: it runs as many as it may; when a job of it ends it is announced.
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
            when j.ready then s.ready_at else statement_timestamp() + j.nth * interval '1 microsecond' -- in their order
        end,
        at_cap = j.full, -- of one that was not, the claim finds out
        capped_until = null,
        virtual_time = case
            when j.full then s.virtual_time else greatest(s.virtual_time, (select l.virtual_time from lowest as l))
        end
    from joining as j
    where
        s.instance_id = j.instance_id
        and (
            (not j.ready and (j.max_in_flight is null or site_has_pending(j.instance_id))) -- it may only have ended one
            or (j.at_cap and (not j.full or j.capped_until is not null))
        )
    returning j.full
)

select
    greatest((select count(*) from announced), (select count(*) from capped))::integer as looked_at,
    (select count(*) from joined as j where not j.full)::integer as joined;
