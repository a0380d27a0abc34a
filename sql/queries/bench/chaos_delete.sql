-- chaos_delete: what a producer types who no longer wants a blog that has not begun.
-- Takes  topic.
-- Gives  one row if it was deleted.
delete from blog_generations where source_id = %(topic)s and status = 'PENDING' and attempt = 0 returning id as job_id;
