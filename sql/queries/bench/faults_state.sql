-- faults_state: how many blogs are done, how many FAILED, and the sites that are paused.
select
    count(*) filter (where g.status = 'DONE') as done,
    count(*) filter (where g.status = 'FAILED') as failed,
    array(select s.instance_id from sites as s where s.paused_at is not null) as paused
from blog_generations as g;
