-- enqueue_one: a producer's smallest transaction.
-- Takes  instance_id.
insert into blog_generations (instance_id, source_type, source_id) values (%(instance_id)s, 'keyword', 'a keyword');
