-- recovery_state: the live workers and the running jobs.
-- Gives  one row: workers; running: jobs; reclaimed: those of them in a second attempt; registered_s: seconds from the
--        latest registration of a worker to the latest claim.
select
    (select count(*) from workers as w where w.lease_until > now()) as workers,
    count(*) filter (where g.status = 'PROCESSING') as running,
    count(*) filter (where g.status = 'PROCESSING' and g.attempt > 1) as reclaimed,
    extract(epoch from max(g.claimed_at) - (select max(w.started_at) from workers as w))::double precision
        as registered_s
from blog_generations as g;
