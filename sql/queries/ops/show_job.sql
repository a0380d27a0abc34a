-- show_job: everything about one job; of the image only its size.
-- Takes  job_id.
-- Gives  no row if it does not exist, else: job without source_data; source_data; post (null: not written yet);
--        checkpoints without output; outputs jsonb[] in the same order; errors; publish_at; worker (which runs it). Values
--        that any program may have written are separate columns, so that one that cannot be read hides no other.
select
    to_jsonb(g) - 'source_data' as job,
    g.source_data,
    (
        select to_jsonb(p) - 'image' || jsonb_build_object('image_bytes', octet_length(p.image))
        from blog_posts as p
        where p.generation_id = g.id
    ) as post,
    (
        select coalesce(jsonb_agg(to_jsonb(s) - array['generation_id', 'output'] order by s.created_at, s.stage), '[]')
        from generation_stages as s
        where s.generation_id = g.id
    ) as checkpoints,
    array(
        select s.output from generation_stages as s where s.generation_id = g.id order by s.created_at, s.stage
    ) as outputs,
    (
        select coalesce(jsonb_agg(to_jsonb(e) - 'generation_id' order by e.id), '[]')
        from generation_errors as e
        where e.generation_id = g.id
    ) as errors,
    (select b.publish_at from scheduled_blogs as b where b.blog_generation_id = g.id) as publish_at,
    (select w.name from workers as w where w.worker_id = g.worker_id) as worker
from blog_generations as g
where g.id = %(job_id)s;
