-- faults_state: the number of jobs by status, and the paused sites.
-- Gives  one row: done, failed, paused text[].
select
    count(*) filter (where g.status = 'DONE') as done,
    count(*) filter (where g.status = 'FAILED') as failed,
    array(select s.instance_id from sites as s where s.paused_at is not null) as paused
from blog_generations as g;
