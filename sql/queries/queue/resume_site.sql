-- resume_site: claim jobs of the site again. It joins the line at the current virtual time.
-- Takes  instance_id.
-- Gives  one row if the site exists and was paused.
update sites as s
set paused_at = null
where s.instance_id = %(instance_id)s and s.paused_at is not null
returning s.instance_id;
