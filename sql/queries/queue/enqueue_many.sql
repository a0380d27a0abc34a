-- enqueue_many: add a batch of blogs through the function of every bulk. Room for them has been made sure of.
-- Takes  blogs jsonb: an array of objects with the arguments of enqueue_blog by name.
-- Gives  one row: created int, how many are new.
select enqueue_blogs(%(blogs)s::jsonb) as created;
