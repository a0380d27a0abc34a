-- site: what a claim would tell of a site.
-- Takes  instance_id.
-- Gives  one row: now, the database's clock; settings jsonb, null when there is no such site.
select now() as now, (select s.settings from sites as s where s.instance_id = %(instance_id)s) as settings;
