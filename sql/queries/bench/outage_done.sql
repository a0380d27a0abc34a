-- outage_done: when each job was DONE, in order.
-- Gives  done_s: seconds of the database's clock.
select extract(epoch from g.finished_at)::double precision as done_s
from blog_generations as g
where g.status = 'DONE'
order by g.finished_at;
