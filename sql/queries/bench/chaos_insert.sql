-- chaos_insert: insert a job without an idempotency key.
-- Takes  instance_id, topic.
insert into blog_generations (instance_id, source_type, source_id) values (%(instance_id)s, 'keyword', %(topic)s);
