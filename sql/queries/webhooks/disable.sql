-- disable: write and send nothing more for an endpoint.
-- Takes  webhook_id; reason.
-- Gives  name; no row if it is disabled already or was removed.
-- Locks  the endpoint.
update webhooks as w
set disabled_at = now(), disabled_reason = %(reason)s
where w.webhook_id = %(webhook_id)s and w.disabled_at is null
returning w.name;
