-- set_site: create a site, or change the given columns of it; null leaves a column unchanged.
-- Takes  instance_id, name, plan, settings jsonb (merged key by key); weight, priority, max_in_flight, max_pending,
--        quota_share: its own values; from_plan text[]: the names of those to take from its plan instead.
-- Gives  the site.
-- Raises 23503 if there is no such plan.
insert into sites as s (
    instance_id, name, plan, own_weight, own_priority, own_max_in_flight, own_max_pending, own_quota_share, settings
)
values (
    %(instance_id)s,
    %(name)s::text,
    coalesce(%(plan)s::text, 'standard'),
    %(weight)s::real,
    %(priority)s::smallint,
    %(max_in_flight)s::integer,
    %(max_pending)s::integer,
    %(quota_share)s::real,
    coalesce(%(settings)s::jsonb, '{}')
)
on conflict (instance_id) do update
set
    name = coalesce(%(name)s::text, s.name),
    plan = coalesce(%(plan)s::text, s.plan),
    own_weight = coalesce(%(weight)s::real, case when 'weight' <> all (%(from_plan)s::text[]) then s.own_weight end),
    own_priority = coalesce(
        %(priority)s::smallint, case when 'priority' <> all (%(from_plan)s::text[]) then s.own_priority end
    ),
    own_max_in_flight = coalesce(
        %(max_in_flight)s::integer, case when 'max_in_flight' <> all (%(from_plan)s::text[]) then s.own_max_in_flight end
    ),
    own_max_pending = coalesce(
        %(max_pending)s::integer, case when 'max_pending' <> all (%(from_plan)s::text[]) then s.own_max_pending end
    ),
    own_quota_share = coalesce(
        %(quota_share)s::real, case when 'quota_share' <> all (%(from_plan)s::text[]) then s.own_quota_share end
    ),
    settings = s.settings || coalesce(%(settings)s::jsonb, '{}')
returning s.*;
