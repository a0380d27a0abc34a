-- waiting: why jobs wait, the most frequent reasons first, of 10,000 of them at most.
-- Takes  most: of the reasons.
-- Gives  rows: reason, jobs, oldest (created_at), until: when the first of them may go on, null = not known.
select v.reason, count(*) as jobs, min(v.created_at) as oldest, min(v.until) as until
from (select * from v_waiting limit 10000) as v
group by v.reason
order by jobs desc, v.reason
limit %(most)s;
