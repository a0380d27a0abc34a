-- pause_site: claim nothing of one site until a person resumes it; what runs goes on.
-- Takes  instance_id; reason.
-- Gives  one row if the site exists and was not paused, or only for a while (resume_at): that pause becomes this one.
update sites as s
set paused_at = now(), pause_reason = %(reason)s, resume_at = null
where s.instance_id = %(instance_id)s and (s.paused_at is null or s.resume_at is not null)
returning s.instance_id;
