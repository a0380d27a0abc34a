-- announce: write a message about alerts to the outbox of each endpoint that wants them. Alerts are about
--           the whole fleet: an endpoint for some sites gets none.
-- Takes  payload jsonb.
-- Gives  webhook_id of each.
insert into webhook_deliveries (webhook_id, message_id, event, payload)
select w.webhook_id, m.message_id, 'alert', %(payload)s::jsonb
from (select gen_random_uuid() as message_id offset 0) as m
cross join webhooks as w
where w.disabled_at is null and 'alert' = any (w.events) and w.instance_ids is null
returning webhook_id;
