-- unadmitted: sites that are announced and not in line yet.
-- Gives  one row: sites.
select count(*)::integer as sites from site_arrivals;
