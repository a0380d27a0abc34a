-- chaos_insert: a blog typed into psql, without a key.
-- Takes  instance_id, topic.
insert into blog_generations (instance_id, source_type, source_id) values (%(instance_id)s, 'keyword', %(topic)s);
