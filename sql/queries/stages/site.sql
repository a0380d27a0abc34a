-- site: read what a claim returns about a site.
-- Takes  instance_id.
-- Gives  one row: now, the database clock; settings jsonb, null if the site does not exist.
select now() as now, (select s.settings from sites as s where s.instance_id = %(instance_id)s) as settings;
