-- remove: delete an endpoint and what waits for it. What other transactions have locked is deleted by upkeep.
-- Takes  name.
-- Gives  webhook_id, url, events, format, waiting (deliveries deleted); no row if there is none.
-- Locks  the endpoint; its deliveries that no other transaction has locked.
with removed as (
    delete from webhooks as w where w.name = %(name)s returning w.webhook_id, w.url, w.events, w.format
),

deleted as (
    delete from webhook_deliveries as d
    where
        d.delivery_id in (
            select o.delivery_id
            from webhook_deliveries as o
            where o.webhook_id in (select r.webhook_id from removed as r)
            for update skip locked
        )
    returning d.state
)

select r.webhook_id, r.url, r.events, r.format, (select count(*) from deleted as d where d.state = 'waiting') as waiting
from removed as r;
