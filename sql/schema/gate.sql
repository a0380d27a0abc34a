-- The gate: how many jobs may be claimed now, by the quotas that all sites share.
--
-- A waiting job waits in the line, PENDING, and not in the slot of a worker: a claim takes only what can start.

-- Stages that a person has paused for all sites: no job is claimed for them, and a running job stops before them.
create table stage_pauses (
    stage text primary key check (stage in ('source', 'ideas', 'content', 'image', 'publish')),
    reason text not null check (length(reason) <= 2000),
    paused_at timestamptz not null default now()
);

-- What a job takes of each bucket. Takes, in the order of the stages: the bucket of each stage's call, null: none;
-- the tokens reserved for it.
-- Gives  for each bucket: calls of a job; blog_s: the time in which the bucket lets one more job through; request_s
--        and token_s: how far one of each moves its clocks, a token by what calls of the last minute used of what was
--        reserved; ahead_s: see quota_ahead_s.
create function bucket_needs(buckets text[], tokens integer[], t timestamptz)
returns table (
    bucket text, calls integer, blog_s double precision, request_s double precision, token_s double precision,
    ahead_s double precision
) language sql stable as $$
    select
        q.name,
        n.calls,
        greatest(n.calls * k.request_s, n.tokens * k.token_s * u.used),
        k.request_s,
        k.token_s * u.used,
        quota_ahead_s(q, t)
    from (
        select s.bucket, count(*)::integer as calls, sum(s.tokens)::double precision as tokens
        from unnest(buckets, tokens) as s (bucket, tokens)
        where s.bucket is not null
        group by s.bucket
    ) as n
    join quotas as q on q.name = n.bucket
    cross join lateral quota_cost(q, t) as k
    cross join lateral (
        select
            least(
                1.25,
                greatest(
                    0.25, coalesce(sum(c.tokens) / nullif(sum(c.requests), 0) / nullif(n.tokens / n.calls, 0), 1)
                )
            ) as used
        from unnest(q.slot_requests, q.slot_tokens) as c (requests, tokens)
    ) as u
$$;

-- How many jobs may be claimed now.
-- Takes  buckets, tokens: as bucket_needs; buckets null: there are no quotas; leads: seconds from the claim of a new
--        job to the call of each stage; patience_s: the longest that a claimed job may wait for a quota.
-- Gives  for each stage: line, its number; bucket, null: its calls need none that all sites share; calls: how many
--        jobs at it would get their call within half of the patience, null: any; starts: for the first stage, how
--        many new jobs may start, null: any.
--
-- A new job may start when every quota that it will need lets it through in time. As many jobs are on their way to
-- a bucket as it lets through in the time that one of them needs to get there, and a few more wait for it, so that it
-- never idles. When one passes, another starts. This limits the work in progress (CONWIP; Spearman, Woodruff and Hopp
-- 1990), which follows the pace of the narrowest quota by itself.
--
-- In PL/pgSQL, a worker's session keeps one plan (begin_session.sql). As an SQL function, and in a session that may
-- choose custom plans, it is planned again for each claim, which takes a millisecond.
--
-- Half of the patience, so that jobs that go on to their next stage find room beside those claimed at it.
create function stage_rooms(
    buckets text[], tokens integer[], leads double precision[], patience_s double precision, t timestamptz
)
returns table (line smallint, stage text, bucket text, calls integer, starts integer) language plpgsql stable as $$
#variable_conflict use_column
begin
    if buckets is null then
        return query
        select (n - 1)::smallint, s.stage, null::text, null::integer, null::integer
        from unnest(array['source', 'ideas', 'content', 'image', 'publish']) with ordinality as s (stage, n);
        return;
    end if;
    return query
    with needs as materialized (select * from bucket_needs(buckets, tokens, t)),

    stages as (
        select
            (n - 1)::smallint as line,
            s.stage,
            case when n = 1 then buckets[2] else buckets[n] end as bucket, -- a source is read for the ideas
            case when n = 1 then tokens[2] else tokens[n] end as tokens,
            leads[n] as lead_s,
            (select count(*) from generate_series(2, n - 1) as m where buckets[m] = buckets[n]) as calls_before
        from unnest(array['source', 'ideas', 'content', 'image', 'publish']) with ordinality as s (stage, n)
    ),

    -- fresh: claimed a moment ago, so that they may not have asked for their quota yet.
    under_way as (
        select
            stage_number(g.stage) as line,
            count(*) as jobs,
            count(*) filter (where g.claimed_at > t - make_interval(secs => patience_s / 10)) as fresh
        from blog_generations as g
        where g.status = 'PROCESSING'
        group by 1
    ),

    -- Jobs of a paused site, and jobs beyond the cap of their site, cannot run, and must not keep others from starting.
    part_done as (
        select p.line, count(*) as jobs
        from (
            select
                f.line, f.max_in_flight, row_number() over (partition by f.instance_id order by f.line desc) as nth
            from (
                select g.instance_id, g.line, o.max_in_flight
                from blog_generations as g
                cross join lateral (
                    select s.paused_at, s.max_in_flight from sites as s where s.instance_id = g.instance_id limit 1
                ) as o -- by the primary key: for a join the planner scans all sites
                where
                    g.status = 'PENDING' and g.line between 1 and 3 and o.paused_at is null
                limit 1000
            ) as f
        ) as p
        where p.max_in_flight is null or p.nth <= p.max_in_flight
        group by p.line
    ),

    waiting as (
        select w.bucket, count(*) as calls
        from quota_waits as w
        where w.starts_at is null and w.seen_at > t - interval '5 seconds' -- its process still asks, see quota_round
        group by w.bucket
    ),

    rooms as (
        select
            s.line,
            s.stage,
            s.bucket,
            case
                when n.bucket is null then null
                when n.ahead_s >= patience_s / 2 then 0
                else greatest(
                    0,
                    ceil((patience_s / 2 - n.ahead_s) / greatest(n.request_s, s.tokens * n.token_s))
                    - coalesce(w.calls, 0)
                    - coalesce(
                        (
                            select sum(u.fresh)
                            from under_way as u
                            join stages as o using (line)
                            where o.bucket = s.bucket
                        ),
                        0
                    )
                )
            end as calls,
            case
                when n.bucket is null then null
                else ceil((s.lead_s + 0.6 * patience_s) / n.blog_s)
                    + s.calls_before -- one more waits for a call of its own in the same bucket
                    - coalesce((select sum(u.jobs) from under_way as u where u.line < s.line), 0)
                    - coalesce((select sum(p.jobs) from part_done as p where p.line <= s.line), 0)
                    - coalesce((select u.fresh from under_way as u where u.line = s.line), 0)
                    - coalesce(w.calls, 0)
            end as starts
        from stages as s
        left join needs as n using (bucket)
        left join waiting as w using (bucket)
    )

    select
        r.line,
        r.stage,
        r.bucket,
        least(r.calls, 1000000)::integer,
        case
            when r.line = 0 then (
                select greatest(0, least(min(o.starts), 1000000))::integer from rooms as o where o.line > 0
            )
        end
    from rooms as r;
end
$$;
