-- record_delivered: end a delivery that the endpoint has accepted.
-- Takes  delivery_id. A late answer of an earlier attempt counts too: it has arrived.
-- Gives  name of the endpoint if it has recovered; no row otherwise.
-- Locks  the delivery; the endpoint if it was failing, unless another transaction has locked it.
with delivered as (
    update webhook_deliveries as d
    set state = 'delivered', ended_at = now(), leased_until = null, last_error = null
    where d.delivery_id = %(delivery_id)s and d.state <> 'delivered'
    returning d.webhook_id
)

update webhooks as w
set failures = 0, failing_since = null, last_error = null -- retry_at stays: a wait that it asked for holds
where
    w.webhook_id in (
        select f.webhook_id
        from webhooks as f
        join delivered using (webhook_id)
        where f.failures > 0
        for no key update of f skip locked
    )
returning w.name;
