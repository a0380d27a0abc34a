-- pause: send nothing to an endpoint until it is resumed.
-- Takes  name; reason.
-- Gives  webhook_id; no row if there is none.
-- Locks  the endpoint.
update webhooks as w
set paused_at = coalesce(w.paused_at, now()), pause_reason = %(reason)s
where w.name = %(name)s
returning w.webhook_id;
