-- enqueue_many: add a batch of jobs; the caller has checked that the queue has room for them.
-- Takes  blogs jsonb: an array of objects with the arguments of enqueue_blog by name.
-- Gives  a row for each new job: place in the array, counted from 1; id.
select q.place, q.id from enqueue_blogs(%(blogs)s::jsonb) as q;
