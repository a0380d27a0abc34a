-- waiting: why jobs wait, the most frequent reasons first. At most 10,000 jobs are read.
-- Takes  most: number of reasons.
-- Gives  rows: reason, jobs, oldest (created_at), until: when the first of them may continue, null: unknown.
select v.reason, count(*) as jobs, min(v.created_at) as oldest, min(v.until) as until
from (select * from v_waiting limit 10000) as v
group by v.reason
order by jobs desc, v.reason
limit %(most)s;
