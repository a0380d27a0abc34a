-- bare_fill: copy the jobs of the queue to the table of the bare worker.
insert into bare_blogs (job_id, instance_id, source_type, source_id, source_data)
select g.id, g.instance_id, g.source_type, g.source_id, g.source_data from blog_generations as g;
