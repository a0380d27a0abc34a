-- outstanding: which jobs are left for a worker that runs until the queue is empty?
-- Takes  within_s: jobs that are SCHEDULED, or rest, for longer than this are left to other workers; stages text[]:
--        only jobs whose next stage is one of these, null = any.
-- Gives  one row: pending (without sites that stay paused), processing, scheduled; each counted up to 1,000.
select
    (
        select count(*)
        from (
            select
            from blog_generations as g
            join sites as s using (instance_id)
            where
                g.status = 'PENDING'
                and (g.line >= 0 or g.run_at <= now() + make_interval(secs => %(within_s)s))
                and (%(stages)s::text[] is null or g.stage = any (%(stages)s::text[]))
                and (s.paused_at is null or s.resume_at <= now() + make_interval(secs => %(within_s)s))
            order by g.instance_id, g.line desc, g.priority desc, g.id -- uses the index of waiting jobs
            limit 1000
        ) as p
    ) as pending,
    (select count(*) from (select from blog_generations as g where g.status = 'PROCESSING' limit 1000) as h)
        as processing,
    (
        select count(*)
        from (
            select
            from blog_generations as g
            where
                g.status = 'SCHEDULED'
                and g.run_at <= now() + make_interval(secs => %(within_s)s)
                and (%(stages)s::text[] is null or g.stage = any (%(stages)s::text[]))
            limit 1000
        ) as d
    ) as scheduled;
