-- load_sites: as many sites, all in line.
-- Takes  sites.
insert into sites (instance_id, ready, ready_at)
select 'site-' || n, true, now() from generate_series(0, %(sites)s - 1) as n;
