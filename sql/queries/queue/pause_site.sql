-- pause_site: claim nothing of one site until it is resumed; what runs goes on.
-- Takes  instance_id; reason.
-- Gives  one row if the site exists and was not paused.
update sites as s
set paused_at = now(), pause_reason = %(reason)s
where s.instance_id = %(instance_id)s and s.paused_at is null
returning s.instance_id;
