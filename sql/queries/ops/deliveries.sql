-- deliveries: the newest deliveries of an endpoint, without their payload.
-- Takes  name; most.
-- Gives  rows: delivery_id, message_id, event, job_id, created_at, state, attempts, due_at, ended_at, last_error.
select
    d.delivery_id,
    d.message_id,
    d.event,
    d.job_id,
    d.created_at,
    d.state,
    d.attempts,
    d.due_at,
    d.ended_at,
    d.last_error
from webhook_deliveries as d
join webhooks as w using (webhook_id)
where w.name = %(name)s
order by d.delivery_id desc
limit %(most)s::bigint;
