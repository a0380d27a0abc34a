-- metrics_queue: jobs that have not ended, how long the next ones wait, and the sites in line.
-- Takes  most: jobs and sites are counted up to this number.
-- Gives  one row: read_at (epoch); pending, processing, scheduled; oldest_wait_s: of the next new job of each of the 100
--        sites at the head of the line, null: none is in line; ready, at_cap, paused: sites.
-- Plan   partial indexes of blog_generations and sites. `paused` reads all sites.
select
    extract(epoch from now())::double precision as read_at,
    pending_count(%(most)s) as pending,
    (
        select count(*)
        from (
            select from blog_generations as g where g.status = 'PROCESSING' order by g.worker_id limit %(most)s::bigint
        ) as p
    ) as processing,
    (
        select count(*)
        from (
            select from blog_generations as g where g.status = 'SCHEDULED' order by g.run_at limit %(most)s::bigint
        ) as p
    ) as scheduled,
    (
        select extract(epoch from now() - min(j.since))::double precision
        from (
            select s.instance_id
            from sites as s
            where is_in_line(s)
            order by s.virtual_time, s.ready_at desc
            limit 100
        ) as h
        cross join lateral (
            select greatest(g.run_at, g.created_at) as since
            from blog_generations as g
            where g.instance_id = h.instance_id and g.status = 'PENDING' and g.line = 0
            order by g.line desc, g.priority desc, g.id
            limit 1
        ) as j
    ) as oldest_wait_s,
    sites_in_line(%(most)s) as ready,
    (
        select count(*)
        from (select from sites as s where s.at_cap order by s.capped_until limit %(most)s::bigint) as c
    ) as at_cap,
    (select count(*) from sites as s where s.paused_at is not null) as paused;
