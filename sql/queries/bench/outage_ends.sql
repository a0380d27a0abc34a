-- outage_ends: when each blog was done, in seconds of the database's clock, in order.
select extract(epoch from g.finished_at)::double precision as done_s
from blog_generations as g
where g.status = 'DONE'
order by g.finished_at;
