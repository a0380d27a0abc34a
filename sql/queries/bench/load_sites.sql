-- load_sites: insert sites that are in line.
-- Takes  sites: their number.
insert into sites (instance_id, ready, ready_at)
select 'site-' || n, true, now() from generate_series(0, %(sites)s - 1) as n;
