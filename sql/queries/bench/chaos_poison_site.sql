-- chaos_poison_site: insert a site with any values that the columns accept.
-- Takes  instance_id, weight, virtual_time, ready_at, max_in_flight, max_pending, settings.
insert into sites (instance_id, weight, virtual_time, ready_at, max_in_flight, max_pending, settings)
values (
    %(instance_id)s, %(weight)s::real, %(virtual_time)s::double precision, %(ready_at)s::timestamptz,
    %(max_in_flight)s::integer, %(max_pending)s::integer, %(settings)s::jsonb
)
on conflict do nothing;
