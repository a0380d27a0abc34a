-- outlook: what stands before a blog that is enqueued now, and how fast it goes away.
-- Gives  one row: waiting (counted to 1,000,000); a_minute: blogs ended a minute over the last ten (counted to 100,000).
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
