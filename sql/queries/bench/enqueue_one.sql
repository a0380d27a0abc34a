-- enqueue_one: insert one job.
-- Takes  instance_id.
insert into blog_generations (instance_id, source_type, source_id) values (%(instance_id)s, 'keyword', 'a keyword');
