-- chaos_blogs: every blog and what became of it.
-- Gives  job_id, topic, status, attempt, post_id (of Wix, null: none), done: how often it became DONE.
select
    g.id as job_id,
    g.source_id as topic,
    g.status,
    g.attempt,
    p.wix_post_id as post_id,
    (select count(*) from chaos_history as h where h.job_id = g.id and h.became = 'DONE') as done
from blog_generations as g
left join blog_posts as p on p.generation_id = g.id
order by g.id;
