-- claim: take the next jobs, fairly over the sites, for one worker.
-- Takes  worker_id uuid, whose lease must not have ended, or nothing is taken; slots int: most jobs to take;
--        site_window int: most of one site; by_tokens boolean: a blog is charged what its site's blogs take on
--        average, until its end bills what it used (settle.sql, reconcile_sites.sql); else each blog is charged one;
--        stages text[]: only jobs whose next stage is one of these, null = any; image_trouble text: what becomes of a
--        site's jobs without a picture where the site does not say (wait, skip, fail): those that would not wait are
--        taken at the image stage whatever stages says; null = stages alone; shop boolean: of the jobs at the source stage
--        only those whose product has to be read from the site's shop (true), only the others (false), null = all.
-- Gives  one row a job, in the order of their turns; when there is none, one row whose job_id is null. Each row repeats
--        two facts of the claim:
--        dry text[]: sites it emptied or found empty, for retire_sites; contended boolean: ready sites or their jobs
--        were left out because others hold them, so a second look within milliseconds may find more; or the head of the
--        line had nothing for these stages, and there are sites behind it.
-- Locks  sites, then their jobs, skipping what others hold: it never waits.
--
-- Cost does not grow with the backlog: the line of sites is read from its head, and each site's jobs from theirs.
-- Where stages are given, no more than a hundred jobs beyond its share are looked at in a site's line, and no fewer than
-- 50 sites.
-- Rejected: ranking the whole backlog (1,143 ms at 1,000,000 jobs of 5,000 sites); a loose index scan for the sites
-- (175 ms at 5,000 sites); a window over the oldest 5,000 jobs (8.5 ms, but fair only among those).
with live as (
    select from workers as k where k.worker_id = %(worker_id)s::uuid and k.lease_until > now()
),

line as (
    select
        s.instance_id,
        s.virtual_time,
        s.weight,
        s.max_in_flight,
        case when %(by_tokens)s::boolean then s.turn_cost else 1 end as turn_cost
    from sites as s
    where s.ready and not s.at_cap and s.paused_at is null and exists (select from live)
    order by s.virtual_time, s.ready_at desc -- a tie goes to the newcomer; served once, it is behind the others
    limit greatest(%(slots)s::integer, case when %(stages)s::text[] is not null then 50 end)
    for no key update skip locked
),

served as (
    select
        l.*,
        f.in_flight,
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
            -- The heaviest site may fill the window, the others their proportion of it, or else slots that the window
            -- keeps from the heaviest would go to the lightest: a claim rather takes less, and the next one follows
            -- at once. When the line is longer than the slots, a site's turn is just its weight, counted in turns of the
            -- lightest: the virtual times could not tell a site of weight 0.5 from one of 1 if both got one job a claim.
            case
                when (select count(*) from line) < %(slots)s::integer
                    then greatest(
                        1,
                        floor(
                            %(site_window)s::integer * (l.weight / l.turn_cost) / max(l.weight / l.turn_cost) over ()
                        )
                    )::integer
                else least(
                    %(site_window)s::integer,
                    ceil((l.weight / l.turn_cost) / least(1, min(l.weight / l.turn_cost) over ()))::integer
                )
            end,
            l.max_in_flight - f.in_flight
        ) as share
    from line as l
    cross join lateral (
        select case when l.max_in_flight is not null then site_in_flight(l.instance_id) end as in_flight
    ) as f
),

-- One job more than the share is read, to know whether the site has any left after this claim.
waiting as (
    select
        v.instance_id,
        v.share,
        j.id,
        row_number() over (partition by v.instance_id order by j.priority desc, j.id) as turn,
        v.virtual_time,
        v.weight,
        v.turn_cost
    from served as v
    cross join lateral (
        select l.id, l.priority
        from (
            select g.id, g.priority, g.stage, %(shop)s::boolean <> needs_shop(g) as passed_over
            from blog_generations as g
            where g.instance_id = v.instance_id and g.status = 'PENDING'
            order by g.priority desc, g.id
            limit greatest(v.share, 0) + 1 + case when %(stages)s::text[] is not null then 100 else 0 end
        ) as l
        where
            %(stages)s::text[] is null
            or (l.stage = any (%(stages)s::text[]) and (l.stage <> 'source' or l.passed_over is not true))
            or (l.stage = 'image' and v.image_trouble in ('skip', 'fail'))
        order by l.priority desc, l.id
        limit greatest(v.share, 0) + 1
    ) as j
),

chosen as (
    select
        w.id, w.instance_id, w.turn_cost, w.turn, w.virtual_time + w.turn * w.turn_cost / w.weight as served_at
    from waiting as w
    where w.turn <= w.share
    order by served_at, w.turn
    limit %(slots)s::integer
),

held as (
    select g.id
    from blog_generations as g
    where g.id = any (array(select c.id from chosen as c)) and g.status = 'PENDING'
    order by g.id
    for update skip locked
),

claimed as (
    update blog_generations as g
    set
        status = 'PROCESSING',
        attempt = g.attempt + 1,
        worker_id = %(worker_id)s::uuid,
        charged = case when %(by_tokens)s::boolean then c.turn_cost end
    from held as h
    join chosen as c using (id)
    where g.id = h.id
    returning g.*, c.served_at, c.turn
),

tally as (
    select
        v.instance_id,
        v.turn_cost,
        v.max_in_flight,
        v.in_flight,
        coalesce(c.taken, 0) as taken,
        coalesce(o.offered, 0) as offered,
        coalesce(w.found, 0) as found
    from served as v
    left join (select instance_id, count(*) as taken from claimed group by instance_id) as c using (instance_id)
    left join (select instance_id, count(*) as offered from chosen group by instance_id) as o using (instance_id)
    left join (select instance_id, count(*) as found from waiting group by instance_id) as w using (instance_id)
),

-- A visit to a site that has nothing to show, or nothing that can be had (its jobs may be in an open transaction, or
-- held by one), costs it a turn, so that such sites cannot hold the head of the line.
charged as (
    update sites as s
    set
        virtual_time = s.virtual_time
            + (case when t.taken = 0 and (t.found = 0 or t.offered > 0) then 1 else t.taken end)
            * t.turn_cost / s.weight,
        at_cap = coalesce(t.in_flight + t.taken >= t.max_in_flight, false)
    from tally as t
    where
        s.instance_id = any (array(select l.instance_id from line as l)) -- by the primary key
        and s.instance_id = t.instance_id
        and (t.offered > 0 or t.found = 0 or t.max_in_flight is not null)
),

-- Sites with jobs for other stages than these only: not dry.
gated as (
    select t.instance_id
    from tally as t
    where
        %(stages)s::text[] is not null
        and t.found = t.taken
        and exists (
            select from blog_generations as g
            where
                g.instance_id = t.instance_id
                and g.status = 'PENDING'
                and (
                    g.stage <> all (%(stages)s::text[])
                    or (g.stage = 'source' and %(shop)s::boolean <> needs_shop(g))
                )
        )
),

facts as (
    select
        array(
            select t.instance_id
            from tally as t
            where t.found = t.taken and t.instance_id not in (select h.instance_id from gated as h)
        ) as dry,
        exists (select from tally as t where t.taken < t.offered)
        or (
            exists (select from gated)
            and (select count(*) from line) >= greatest(%(slots)s::integer, 50)
        )
        or (select count(*) from line) < (
            select count(*)
            from (
                select
                from sites as s
                where s.ready and not s.at_cap and s.paused_at is null and exists (select from live)
                order by s.virtual_time, s.ready_at desc -- by the index, past all idle sites
                limit greatest(%(slots)s::integer, case when %(stages)s::text[] is not null then 50 end)
            ) as in_line
        ) as contended
)

select
    f.dry,
    f.contended,
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
    s.settings as site,
    c.publish_mode,
    extract(epoch from p.publish_at - now())::double precision as publish_in_s
from facts as f
left join claimed as c on true
left join sites as s using (instance_id)
left join scheduled_blogs as p on p.blog_generation_id = c.id
-- In this order they come to the desk of the quota. By id, those of old backlogs would always find its last places.
order by c.served_at, c.turn, random();
