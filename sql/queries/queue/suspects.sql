-- suspects: are there suspects to run, and does a process for them run already?
-- Takes  name text: the worker name of that process; within_s: suspects that rest no longer than this count too.
-- Gives  one row: waiting boolean; served boolean: a live worker of that name exists.
select
    exists (
        select from blog_generations as g
        join sites as s using (instance_id)
        where is_suspect(g) and s.paused_at is null
    )
    or exists (
        select from blog_generations as g
        where
            g.status = 'PENDING'
            and g.line is null
            and g.run_at <= now() + make_interval(secs => %(within_s)s)
            and g.rescues >= 2
    ) as waiting,
    exists (select from workers as w where w.name = %(name)s and w.lease_until > now()) as served;
