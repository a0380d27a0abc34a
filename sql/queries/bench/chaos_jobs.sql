-- chaos_jobs: every job, except those of the burst that were never claimed.
-- Gives  job_id, topic, poisoned, status, error, attempt; post_id: of Wix, or null; done: how often it became DONE;
--        ended: it has ended, or is scheduled for a distant time.
select
    g.id as job_id,
    g.source_id as topic,
    g.instance_id like 'poison-%%' as poisoned,
    g.status,
    g.error,
    g.attempt,
    p.wix_post_id as post_id,
    coalesce(h.done, 0) as done,
    g.status in ('DONE', 'FAILED', 'CANCELLED')
    or (g.status = 'SCHEDULED' and g.run_at > now() + interval '1 day') as ended
from blog_generations as g
left join blog_posts as p on p.generation_id = g.id
left join (
    select c.job_id, count(*) as done from chaos_history as c where c.new_status = 'DONE' group by c.job_id
) as h on h.job_id = g.id
where g.attempt > 0 or g.instance_id not like 'burst-%%'
order by g.id;
