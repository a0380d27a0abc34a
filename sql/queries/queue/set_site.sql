-- set_site: create a site, or change the given columns of it; null leaves a column unchanged.
-- Takes  instance_id, name, plan, weight, max_in_flight, max_pending, settings jsonb (merged key by key).
-- Gives  the site.
insert into sites as s (instance_id, name, plan, weight, max_in_flight, max_pending, settings)
values (
    %(instance_id)s,
    %(name)s::text,
    coalesce(%(plan)s::text, 'standard'),
    coalesce(%(weight)s::real, 1),
    %(max_in_flight)s::integer,
    %(max_pending)s::integer,
    coalesce(%(settings)s::jsonb, '{}')
)
on conflict (instance_id) do update
set
    name = coalesce(%(name)s::text, s.name),
    plan = coalesce(%(plan)s::text, s.plan),
    weight = coalesce(%(weight)s::real, s.weight),
    max_in_flight = coalesce(%(max_in_flight)s::integer, s.max_in_flight),
    max_pending = coalesce(%(max_pending)s::integer, s.max_pending),
    settings = s.settings || coalesce(%(settings)s::jsonb, '{}')
returning s.*;
