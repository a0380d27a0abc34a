-- recovery_state: who lives, and what runs.
-- Gives  one row: workers; running; again: of them, those claimed for a second time; registered_s: how long before the
--        last claim the youngest worker had its lease.
select
    (select count(*) from workers as w where w.lease_until > now()) as workers,
    count(*) filter (where g.status = 'PROCESSING') as running,
    count(*) filter (where g.status = 'PROCESSING' and g.attempt > 1) as again,
    extract(epoch from max(g.claimed_at) - (select max(w.started_at) from workers as w))::double precision
        as registered_s
from blog_generations as g;
