-- unadmitted: the number of announced sites that are not in line yet.
-- Gives  one row: sites.
select count(*)::integer as sites from site_arrivals;
