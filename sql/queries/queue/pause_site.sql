-- pause_site: stop claiming jobs of one site until a person resumes it. Running jobs continue.
-- Takes  instance_id; reason.
-- Gives  one row if the site exists and was not paused, or was paused only until resume_at; then this pause replaces
--        it.
update sites as s
set paused_at = now(), pause_reason = %(reason)s, resume_at = null
where s.instance_id = %(instance_id)s and (s.paused_at is null or s.resume_at is not null)
returning s.instance_id;
