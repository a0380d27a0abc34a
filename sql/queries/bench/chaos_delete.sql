-- chaos_delete: delete a job that no worker has claimed.
-- Takes  topic.
-- Gives  one row if it was deleted.
delete from blog_generations where source_id = %(topic)s and status = 'PENDING' and attempt = 0 returning id as job_id;
