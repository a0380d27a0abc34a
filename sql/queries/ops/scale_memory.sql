-- scale_memory: what autoscale on this host decided lately, and which hosts have workers.
-- Takes  host; window_s.
-- Gives  one row: here: live workers of this host that do not drain and are not quiet; quiet: the names of all quiet
--        workers; hosts: with live workers, this one included; known_s: how long ago the first decision within the
--        window was, null: there is none; most_wanted: in the window; changed_s: how long ago the number of workers was
--        changed, null: not within a day.
select
    (
        select count(*)
        from workers as w
        where
            w.host = %(host)s
            and w.lease_until > now()
            and not w.draining
            and not exists (select from quiet_workers as q where q.name = w.name)
    ) as here,
    array(select q.name from quiet_workers as q) as quiet,
    (
        select count(distinct h.host)
        from (select w.host from workers as w where w.lease_until > now() union all select %(host)s) as h (host)
    ) as hosts,
    extract(epoch from now() - min(s.at) filter (where s.within))::double precision as known_s,
    max(s.wanted) filter (where s.within) as most_wanted,
    extract(epoch from now() - max(s.at) filter (where s.target <> s.workers))::double precision as changed_s
from (
    select
        c.at,
        c.wanted,
        c.target,
        c.workers,
        c.at > now() - make_interval(secs => %(window_s)s::double precision) as within
    from scalings as c
    where c.host = %(host)s and c.at <= now() -- later ones were written while a clock was ahead
) as s;
