-- claim: claim the next jobs that can start, fairly between sites, for one worker.
-- Takes  worker_id uuid: if its lease has ended or it is quiet, nothing is claimed; slots int: most jobs to claim; site_window int:
--        most jobs of one site; stages text[]: only jobs whose next stage is one of these, null = any; image_trouble
--        text: what happens to a job without a picture if its site does not say (wait, skip, fail): a job that would
--        not wait is claimed at the image stage whatever stages says, null = stages alone decides; shop boolean: at the
--        source stage, true = only jobs that must read their product from the site's shop, false = only the others,
--        null = all; buckets text[], tokens int[], leads double precision[], patience_s: see stage_rooms: only jobs
--        that their quotas allow to continue, buckets null = ignore the quotas; site_rpm int: calls per minute of the
--        fleet to one site, null = none; site_calls int: calls of one job to its site; part_done_after text: scanned_to
--        of the previous claim, at first ''.
-- Gives  one row per job, in the order of their turns; if there is no job, one row whose job_id is null. Each row
--        repeats facts of the claim: dry text[]: sites without jobs after this claim, for retire_sites; contended
--        boolean: sites or jobs were left out because other transactions have locked them, so another claim within
--        milliseconds may find more; look_in_s: when to claim again for jobs that wait for a quota, null = no job does;
--        scanned_to.
-- Locks  sites, then their jobs, then clocks of stages, skipping those that other transactions have locked: it never
--        waits.
--
-- The cost does not grow with the backlog: the line of sites is read from its head, and the jobs of each site from
-- theirs. Unfinished jobs go before new jobs of the same site. If some stages are closed, sites come from the head of
-- the line only while new jobs may start; in addition, sites come from the unfinished jobs, which are few.
--
-- Rejected: ranking the whole backlog (1,143 ms at 1,000,000 jobs of 5,000 sites); a loose index scan for the sites
-- (175 ms at 5,000 sites); a window over the oldest 5,000 jobs (8.5 ms, but fair only among those).
with live as (
    select
    from workers as k
    where
        k.worker_id = %(worker_id)s::uuid
        and k.lease_until > now()
        and not exists (select from quiet_workers as q where q.name = k.name)
),

-- The longest stage times that any worker reports. A new worker guesses low times, and while others run more jobs than
-- its guess allows, it would never get a job to learn from.
pace as materialized (
    select
        array(
            select greatest(o.lead_s, max(f.lead_s))
            from unnest(%(leads)s::double precision[]) with ordinality as o (lead_s, n)
            left join (
                select
                    e.n,
                    json_number(e.lead_s, 86400) as lead_s
                from workers as k
                cross join lateral
                    jsonb_array_elements(
                        case when jsonb_typeof(k.stats #> '{needs,leads}') = 'array' then k.stats #> '{needs,leads}' end
                    ) with ordinality as e (lead_s, n)
                where k.lease_until > now()
            ) as f using (n)
            group by o.n, o.lead_s
            order by o.n
        ) as leads
),

rooms as materialized (
    select r.line, r.stage, r.bucket, r.calls, r.starts
    from stage_rooms(
        %(buckets)s::text[],
        %(tokens)s::integer[],
        (select p.leads from pace as p),
        %(patience_s)s::double precision,
        clock_timestamp()
    ) as r
    where exists (select from live)
),

-- The stages whose jobs may be claimed; only_some: at the image stage, only jobs that need not wait for a picture.
open as materialized (
    select
        r.line,
        r.bucket,
        r.calls,
        r.starts,
        not (%(stages)s::text[] is null or r.stage = any (%(stages)s::text[])) as only_some
    from rooms as r
    where
        coalesce(r.calls > 0, true)
        and coalesce(r.starts > 0, true)
        and (
            %(stages)s::text[] is null
            or r.stage = any (%(stages)s::text[])
            or (r.stage = 'image' and %(image_trouble)s::text is not null)
        )
),

-- closed: not every job of every site may be claimed. If not closed, one scan of each site's line is enough.
gates as materialized (
    select
        (select count(*) from open as o where not o.only_some) < 5
        or %(buckets)s::text[] is not null
        or %(shop)s::boolean is not null as closed,
        exists (select from open as o where o.line = 0) as starts,
        (
            select count(*)
            from (select from sites as s where is_in_line(s) limit 2) as two
        ) < 2 as lone, -- at most one site waits
        %(buckets)s::text[] is not null as paced,
        coalesce('source' <> all (%(stages)s::text[]), false) as later -- only jobs that have begun
),

line as (
    select s.instance_id, s.virtual_time, s.weight, s.max_in_flight, s.turn_cost, s.stage_times, true as in_line
    from sites as s
    where
        is_in_line(s)
        and exists (select from open)
        and (select g.starts or not g.closed from gates as g)
    order by s.virtual_time, s.ready_at desc -- on a tie the site that joined last goes first
    limit greatest(%(slots)s::integer, (select case when g.closed then 50 end from gates as g))
    for no key update skip locked
),

-- Sites with unfinished jobs, 200 at most, in the order of their ids. A scan begins behind the end of the last one and
-- goes on with the first site after the last, so all sites are read equally often.
scanned as (
    select n.instance_id, n.nth
    from (
        with recursive next_site as (
            select %(part_done_after)s::text as instance_id, 0 as nth, false as is_second_round
            where (select t.closed from gates as t)
            union all
            select f.instance_id, p.nth + 1, p.is_second_round or b.instance_id is null
            from next_site as p
            cross join lateral (
                select (
                    select g.instance_id
                    from blog_generations as g
                    where
                        is_started(g)
                        and g.line = any (array(select o.line from open as o))
                        and g.instance_id > p.instance_id
                    order by g.instance_id
                    limit 1
                ) as instance_id
                offset 0 -- evaluated once
            ) as b
            cross join lateral (
                select coalesce(
                    b.instance_id,
                    (
                        select g.instance_id
                        from blog_generations as g
                        where
                            is_started(g)
                            and g.line = any (array(select o.line from open as o))
                            and not p.is_second_round
                        order by g.instance_id
                        limit 1
                    )
                ) as instance_id
                offset 0
            ) as f
            where
                p.nth < 200
                and f.instance_id is not null
                and (f.instance_id <= %(part_done_after)s or (b.instance_id is not null and not p.is_second_round))
        )

        select p.instance_id, p.nth from next_site as p where p.nth > 0
    ) as n
),

part_done as (
    select s.instance_id, s.virtual_time, s.weight, s.max_in_flight, s.turn_cost, s.stage_times, false as in_line
    from sites as s
    where
        s.instance_id = any (array(select n.instance_id from scanned as n)) -- uses the primary key
        and s.paused_at is null
        and s.instance_id not in (select l.instance_id from line as l)
    for no key update skip locked
),

-- What each site's own limits allow. competes: the site could start a new job if it had a slot.
own as materialized (
    select
        l.*,
        f.in_flight,
        a.running,
        w.new_room,
        w.publish_room,
        l.in_line and coalesce(w.new_room > 0, true) and coalesce(l.max_in_flight > f.in_flight, true) as competes
    from (select * from line union all select * from part_done) as l
    cross join gates as t
    cross join pace as p
    cross join lateral (
        select case when l.max_in_flight is not null then site_in_flight(l.instance_id) end as in_flight
    ) as f
    left join lateral (
        select
            r.running,
            r.publishing,
            r.running + (
                select count(*)
                from (
                    select
                    from blog_generations as g
                    where g.instance_id = l.instance_id and is_started(g)
                    limit 1000
                ) as p
            ) as started
        from (
            select count(*) as running, count(*) filter (where g.stage = 'publish') as publishing
            from blog_generations as g
            where g.instance_id = l.instance_id and g.status = 'PROCESSING'
        ) as r
        where t.paced
    ) as a on true
    -- The site's own quota of Wix. A new job starts if the quota will allow its calls when it is published. Finished
    -- posts are published in parallel up to the quota. A job that could not get a call behind those that wait for one
    -- is not claimed: it would be refused and claimed again at once. Products are read from the shop while posts leave
    -- room.
    left join lateral (
        select
            greatest(
                2,
                ceil(
                    (p.leads[6] + 0.6 * %(patience_s)s::double precision) / (%(site_calls)s::integer * b.request_s)
                )
            )::integer - a.started as new_room,
            least(
                1 + ceil((p.leads[6] - p.leads[5]) / (%(site_calls)s::integer * b.request_s))::integer - a.publishing,
                ceil(
                    greatest(0, %(patience_s)s::double precision / 2 - b.ahead_s - b.waiting * b.request_s) / b.request_s
                )::integer
            ) as publish_room
        from (
            select
                coalesce(k.request_s, 60.0 / %(site_rpm)s::integer) as request_s,
                coalesce(quota_ahead_s(q, clock_timestamp()), 0) as ahead_s,
                (
                    select count(*)
                    from quota_waits as c
                    where
                        c.bucket = 'wix/' || l.instance_id
                        and c.starts_at is null
                        and c.seen_at > clock_timestamp() - interval '5 seconds'
                ) as waiting
            from (select) as one
            left join quotas as q on q.name = 'wix/' || l.instance_id
            left join lateral quota_cost(q, clock_timestamp()) as k on q.name is not null
        ) as b
        where t.paced and %(site_rpm)s::integer is not null
    ) as w on true
),

-- While other sites wait, no site gets more of the fleet's slots than its share by weight. A site that is stopped by
-- its own limits does not wait for a slot, and the others share its part. Slots of a draining worker count while jobs
-- run in them.
fleet as (
    select
        (
            select least(1000000, sum(case when k.draining then k.in_flight else k.concurrency end))
            from workers as k
            where k.lease_until > now()
        ) as slots,
        (select count(*) from own as o where o.competes) as sites,
        coalesce((select sum(o.weight) from own as o where o.competes), 0) as weight
),

served as (
    select
        l.*,
        case
            when %(stages)s::text[] is not null and %(image_trouble)s::text is not null
                then (
                    select
                        case
                            when s.settings ->> 'image_trouble' in ('wait', 'skip', 'fail')
                                then s.settings ->> 'image_trouble'
                            else %(image_trouble)s::text
                        end
                    from sites as s
                    where s.instance_id = l.instance_id
                )
        end as image_trouble,
        least(
            -- If only one site waits, the window protects nobody, and the site may fill all slots.
            -- The site with the largest weight may fill the window, the others a part of it in proportion. Otherwise
            -- slots that the window denies to the heaviest site would go to the lightest. So a claim may take fewer
            -- jobs, and the next claim follows at once. If the line is longer than the slots, a site gets its weight
            -- divided by the smallest weight: with one job per claim, weights 0.5 and 1 would be served equally.
            case
                when (select count(*) from line) < %(slots)s::integer
                    then greatest(
                        1,
                        floor(
                            case when t.lone then %(slots)s::integer else %(site_window)s::integer end
                            * (l.weight / l.turn_cost) / max(l.weight / l.turn_cost) over ()
                        )
                    )::integer
                else least(
                    %(site_window)s::integer,
                    ceil((l.weight / l.turn_cost) / least(1, min(l.weight / l.turn_cost) over ()))
                )::integer
            end,
            l.max_in_flight - l.in_flight,
            -- The site's share of the fleet's slots: by its weight among the sites that compete, less what it runs.
            case
                when t.paced and e.sites > l.competes::integer
                    then greatest(
                        1, ceil(e.slots * l.weight / (e.weight + case when l.competes then 0 else l.weight end))
                    )::integer - l.running
            end
        ) as share
    from own as l
    cross join gates as t
    cross join fleet as e
),

-- The jobs that may be claimed. One more than the share is read, to see whether the site has jobs left afterwards.
waiting as (
    select
        v.instance_id,
        v.share,
        j.id,
        j.line,
        row_number() over (partition by v.instance_id order by j.line desc, j.priority desc, j.id) as turn,
        v.virtual_time,
        v.weight,
        v.turn_cost,
        row_number() over (partition by v.instance_id, j.line order by j.priority desc, j.id) as turn_at_stage,
        v.stage_times[j.line] as stage_time
    from served as v
    cross join lateral (
        select f.id, f.line, f.priority
        from (
            select
                m.id,
                m.line,
                m.priority,
                row_number() over (partition by m.line order by m.priority desc, m.id) as nth
            from (
                (
                    select g.id, g.line, g.priority, false as passed_over
                    from blog_generations as g
                    where
                        g.instance_id = v.instance_id
                        and is_claimable(g)
                        and not (select t.closed from gates as t)
                    order by g.line desc, g.priority desc, g.id
                    limit greatest(v.share, 0) + 1
                )
                union all
                select p.id, p.line, p.priority, p.passed_over
                from open as o
                cross join lateral (
                    select
                        g.id,
                        g.line,
                        g.priority,
                        case
                            when g.line = 0 and (%(shop)s::boolean is not null or v.publish_room <= 0)
                                then coalesce(%(shop)s::boolean <> needs_shop(g), false)
                                    or (v.publish_room <= 0 and needs_shop(g))
                        end as passed_over
                    from blog_generations as g
                    where g.instance_id = v.instance_id and is_claimable(g) and g.line = o.line
                    order by g.priority desc, g.id
                    limit greatest(v.share, 0) + 1
                        + case when o.line = 0 and (%(shop)s::boolean is not null or v.publish_room <= 0) then 100 else 0 end
                ) as p
                where (select t.closed from gates as t) and (not o.only_some or v.image_trouble in ('skip', 'fail'))
            ) as m
            where m.passed_over is not true
        ) as f
        where
            (f.line <> 0 or v.new_room is null or f.nth <= v.new_room)
            and (f.line <> 4 or v.publish_room is null or f.nth <= v.publish_room)
        order by f.line desc, f.priority desc, f.id
        limit greatest(v.share, 0) + 1
    ) as j
),

-- Claims of later stages alone have a clock for each stage, because one virtual time cannot order the claims of all
-- stages: it follows the stage that is claimed most. This is start-time fair queueing (Goyal, Vin and Cheng 1996): a
-- job starts at the end of the last one of its site, but not before the start of the last one of any site, and at most
-- one turn after that. So a site that had nothing to claim has no credit, and a time that was set by hand does not last.
ranked as (
    select
        w.*,
        coalesce(k.jobs, 0) as stage_jobs,
        w.virtual_time + w.turn * w.turn_cost / w.weight as served_at,
        least(
            1e15,
            greatest(
                coalesce(k.virtual_time, 0),
                least(coalesce(w.stage_time, 0), coalesce(k.virtual_time, 0) + w.turn_cost / w.weight)
            ) + (w.turn_at_stage - 1) * w.turn_cost / w.weight
        ) as starts_at
    from waiting as w
    cross join gates as t
    left join stage_clocks as k on k.line = w.line and t.later
    where w.turn <= w.share
),

-- The jobs that the shared quotas allow, in the order of turns. Stages may share a bucket, as source and ideas do.
-- Later stages alone take turns job by job; one that had nothing to claim has a credit of one job.
chosen as (
    select
        r.id,
        r.instance_id,
        r.turn_cost,
        r.turn,
        r.served_at,
        r.place,
        r.line,
        r.starts_at,
        least(1e15, r.starts_at + r.turn_cost / r.weight) as ends_at
    from (
        select n.*, p.place, row_number() over (partition by n.bucket order by p.place, n.served_at, n.turn) as nth_call
        from (
            select
                k.*,
                o.bucket,
                o.calls,
                o.starts,
                t.later,
                max(k.stage_jobs) over () as most_stage_jobs,
                row_number() over (
                    partition by k.line
                    order by case when t.later then k.starts_at else k.served_at end, k.served_at, k.turn
                ) as nth_at_stage
            from ranked as k
            join open as o using (line)
            cross join gates as t
        ) as n
        cross join lateral (
            select
                case
                    when n.later then greatest(n.stage_jobs, n.most_stage_jobs - 1) + n.nth_at_stage
                    else n.served_at
                end as place
        ) as p
    ) as r
    where
        (r.calls is null or r.nth_call <= r.calls)
        and (r.starts is null or r.nth_at_stage <= r.starts)
    order by r.place, r.served_at, r.turn
    limit %(slots)s::integer
),

-- One job at a time: the planner expects one row here, and would compare each job with each in every later join.
-- Claimable as is_claimable says, but written so that no partial index fits: each lookup would read all of it.
locked as (
    select c.turn_cost, c.served_at, c.turn, c.place, c.line, c.starts_at, c.ends_at, g.id
    from (select * from chosen order by id) as c
    cross join lateral (
        select by_id.id
        from blog_generations as by_id
        where
            by_id.id = c.id
            and by_id.status || '' = 'PENDING'
            and by_id.line >= 0
            and by_id.attempt < 2000000000 -- close to the maximum of the column
        for update skip locked
    ) as g
),

claimed as (
    update blog_generations as g
    set
        status = 'PROCESSING',
        attempt = g.attempt + 1,
        worker_id = %(worker_id)s::uuid,
        charged = h.turn_cost,
        -- The next two as guard_update would: it is not called then.
        claimed_at = now(),
        line = null
    from locked as h
    where g.id = h.id
    returning g.*, h.served_at, h.turn, h.place, h.line as claimed_at_line, h.starts_at, h.ends_at
),

tally as (
    select
        u.instance_id,
        bool_or(u.in_line) as in_line,
        max(u.turn_cost) as turn_cost,
        max(u.max_in_flight) as max_in_flight,
        max(u.in_flight) as in_flight,
        sum(u.taken) as taken,
        sum(u.offered) as offered,
        sum(u.found) as found,
        array[
            max(u.ends_at) filter (where u.line = 1),
            max(u.ends_at) filter (where u.line = 2),
            max(u.ends_at) filter (where u.line = 3),
            max(u.ends_at) filter (where u.line = 4)
        ] as stage_times
    from (
        select
            v.instance_id, v.in_line, v.turn_cost, v.max_in_flight, v.in_flight, 0 as taken, 0 as offered, 0 as found,
            null::smallint as line, null::double precision as ends_at
        from served as v
        union all
        select c.instance_id, null, null, null, null, 1, 0, 0, c.claimed_at_line, c.ends_at from claimed as c
        union all
        select c.instance_id, null, null, null, null, 0, 1, 0, null, null from chosen as c
        union all
        select w.instance_id, null, null, null, null, 0, 0, 1, null, null from waiting as w
    ) as u
    group by u.instance_id
),

-- Sites whose claimable jobs are all taken. left_over: more of their jobs are in line, but may not be claimed now.
emptied as (
    select
        t.instance_id,
        (
            select count(*)
            from (
                select
                from blog_generations as g
                where g.instance_id = t.instance_id and is_claimable(g)
                limit t.taken + 1 -- in the snapshot of this statement, the jobs taken are still claimable
            ) as m
        ) > t.taken as left_over
    from tally as t
    where t.in_line and t.found = t.taken
),

-- A site with no job in line, or with no job that can be locked (its jobs are in an open transaction, or locked by
-- one), is charged one turn, so that such sites do not stay at the head of the line. A site whose jobs may not be
-- claimed now leaves the line for a moment instead, like a site at its cap. Not so in claims with `shop`, while Wix is
-- unavailable: the next claim may look for the jobs that this one has left out.
charged as (
    update sites as s
    set
        virtual_time = least(
            1e15,
            s.virtual_time
            + (
                case
                    when t.taken = 0 and (t.offered > 0 or (t.found = 0 and e.leaves is not true)) then 1
                    else t.taken
                end
            )
            * t.turn_cost / s.weight
        ),
        at_cap = coalesce(t.in_flight + t.taken >= t.max_in_flight, false) or e.leaves is true,
        capped_until = case
            when t.in_flight + t.taken >= t.max_in_flight then null
            when e.leaves is true
                then clock_timestamp() + make_interval(secs => least(2, coalesce(%(patience_s)s::double precision, 5) / 5))
        end,
        stage_times = case
            when (select g.later from gates as g) and t.taken > 0 then array[
                coalesce(t.stage_times[1], s.stage_times[1]),
                coalesce(t.stage_times[2], s.stage_times[2]),
                coalesce(t.stage_times[3], s.stage_times[3]),
                coalesce(t.stage_times[4], s.stage_times[4])
            ]
            else s.stage_times
        end
    from tally as t
    left join (
        select m.instance_id, m.left_over and %(shop)s::boolean is null as leaves from emptied as m
    ) as e using (instance_id)
    where
        s.instance_id = any (array(select v.instance_id from served as v)) -- uses the primary key
        and s.instance_id = t.instance_id
        and (
            t.offered > 0
            or (t.in_line and t.found = 0)
            or t.max_in_flight is not null
            or e.leaves is true
        )
),

-- If another claim has locked the clock of a stage, it stays a little behind.
clocks as (
    update stage_clocks as k
    set
        virtual_time = greatest(k.virtual_time, m.starts_at),
        jobs = least(1e15, greatest(k.jobs, m.place))
    from (
        select f.line
        from stage_clocks as f
        where (select g.later from gates as g) and f.line in (select c.claimed_at_line from claimed as c)
        for no key update skip locked
    ) as f
    join (
        select c.claimed_at_line as line, max(c.starts_at) as starts_at, max(c.place) as place
        from claimed as c
        group by 1
    ) as m using (line)
    where k.line = f.line
),

facts as (
    select
        array(select e.instance_id from emptied as e where not e.left_over) as dry,
        exists (select from tally as t where t.taken < t.offered)
        or (
            exists (select from emptied as e where e.left_over)
            and (select count(*) from line) >= greatest(%(slots)s::integer, 50)
        )
        or (select count(*) from line) < (
            select count(*)
            from (
                select
                from sites as s
                where
                    is_in_line(s)
                    and exists (select from open)
                    and (select g.starts or not g.closed from gates as g)
                order by s.virtual_time, s.ready_at desc -- uses the index, so idle sites are not read
                limit greatest(%(slots)s::integer, (select case when g.closed then 50 end from gates as g))
            ) as in_line
        ) as contended,
        case
            when
                (select g.closed from gates as g)
                and (
                    (
                        select s.instance_id
                        from sites as s
                        where is_in_line(s)
                        order by s.virtual_time, s.ready_at desc -- uses the index of the line
                        limit 1
                    ) is not null
                    or (
                        select s.instance_id
                        from sites as s
                        where s.at_cap and s.ready and s.paused_at is null
                        order by s.capped_until -- uses the index of sites at their cap
                        limit 1
                    ) is not null
                )
                then least(
                    coalesce(%(patience_s)s::double precision, 5) / 2,
                    coalesce(%(patience_s)s::double precision, 5) / 10
                        * greatest(1, (select count(*) from workers as k where k.lease_until > now()))
                )
        end as look_in_s,
        -- A scan of fewer than 200 sites has read all of them. Without a scan, the place stays.
        coalesce((select n.instance_id from scanned as n where n.nth = 200), %(part_done_after)s::text) as scanned_to
)

select
    f.dry,
    f.contended,
    f.look_in_s,
    f.scanned_to,
    c.id as job_id,
    c.instance_id,
    c.attempt,
    c.failures,
    c.max_attempts,
    c.stage,
    c.source_type,
    c.source_id,
    c.source_data,
    c.created_at,
    c.served_at,
    s.settings as site,
    c.publish_mode,
    extract(epoch from p.publish_at - now())::double precision as publish_in_s
from facts as f
left join claimed as c on true
left join sites as s using (instance_id)
left join scheduled_blogs as p on p.blog_generation_id = c.id
-- Sites with equal turns in random order, otherwise the sites with the oldest backlogs would always be first.
order by c.place, c.served_at, c.turn, random();
