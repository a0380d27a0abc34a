-- resume: send to an endpoint again, at once, whatever stopped it.
-- Takes  name; given_up boolean: also what was given up and is not deleted yet.
-- Gives  webhook_id; again: number of deliveries that wait again; no row if there is no such endpoint.
-- Locks  the endpoint; the deliveries that are due later.
with resumed as (
    update webhooks as w
    set
        paused_at = null,
        pause_reason = null,
        disabled_at = null,
        disabled_reason = null,
        failures = 0,
        failing_since = null,
        retry_at = now()
    where w.name = %(name)s
    returning w.webhook_id
),

requeued as (
    update webhook_deliveries as d
    set
        state = 'waiting',
        ended_at = null,
        due_at = now(),
        expires_at = case when d.state = 'given_up' then now() + interval '1 day' else d.expires_at end
    where
        d.webhook_id in (select r.webhook_id from resumed as r)
        and d.leased_until is null
        and (d.state = 'waiting' or (d.state = 'given_up' and %(given_up)s::boolean))
    returning d.delivery_id
)

select r.webhook_id, (select count(*) from requeued) as again from resumed as r;
