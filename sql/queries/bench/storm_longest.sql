-- storm_longest: the blog that took longest.
-- Gives  one row: blog_s, from the first claim of a blog to its end; attempts, the most that one blog took.
select
    coalesce(max(b.seconds), 0)::double precision as blog_s,
    coalesce(max(b.attempts), 0) as attempts
from (
    select
        extract(epoch from max(h.at) - min(h.at) filter (where h.became = 'PROCESSING')) as seconds,
        count(*) filter (where h.became = 'PROCESSING') as attempts
    from chaos_history as h
    group by h.job_id
) as b;
