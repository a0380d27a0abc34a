-- enqueue_many: add a batch of jobs; the caller has checked that the queue has room for them.
-- Takes  blogs jsonb: an array of objects with the arguments of enqueue_blog by name.
-- Gives  one row: created int: how many are new.
select enqueue_blogs(%(blogs)s::jsonb) as created;
