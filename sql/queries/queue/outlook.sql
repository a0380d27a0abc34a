-- outlook: how many jobs wait before a job that is enqueued now, and how fast they are done.
-- Gives  one row: waiting (counted up to 1,000,000); a_minute: jobs ended per minute in the last ten (counted up to
--        100,000).
select
    pending_count(1000000) as waiting,
    (
        select count(*) / 10.0
        from (
            select
            from blog_generations as g
            where g.finished_at > now() - interval '10 minutes'
            limit 100000
        ) as lately
    )::double precision as a_minute;
