-- upkeep: give up deliveries that have expired, disable endpoints that have failed for too long, delete what ended.
-- Takes  batch: rows of each kind; dead_s: endpoints that fail for longer are disabled; keep_delivered_s, keep_given_up_s.
-- Gives  one row: given_up, deleted: deliveries; disabled text[]: names of endpoints.
-- Locks  rows that no other transaction has locked.
-- Plan   webhook_deliveries_waiting_idx, webhook_deliveries_ended_idx.
with dead as (
    update webhooks as w
    set disabled_at = now(), disabled_reason = left('failed for five days: ' || coalesce(w.last_error, ''), 1000)
    where
        w.webhook_id in (
            select f.webhook_id
            from webhooks as f
            where
                f.failing_since < now() - make_interval(secs => %(dead_s)s::double precision)
                and f.disabled_at is null
            for no key update skip locked
        )
    returning w.name
),

expired as (
    update webhook_deliveries as d
    set state = 'given_up', ended_at = now(), leased_until = null, last_error = coalesce(d.last_error, 'never sent')
    where
        d.delivery_id in (
            select o.delivery_id
            from webhook_deliveries as o
            where
                o.state = 'waiting'
                and o.expires_at < now()
                and coalesce(o.leased_until < now(), true)
            order by o.expires_at
            limit %(batch)s::bigint
            for update skip locked
        )
    returning d.delivery_id
),

deleted as (
    delete from webhook_deliveries as d
    where
        d.delivery_id in (
            (
                select o.delivery_id
                from webhook_deliveries as o
                where
                    o.state = 'delivered'
                    and o.ended_at < now() - make_interval(secs => %(keep_delivered_s)s::double precision)
                order by o.ended_at
                limit %(batch)s::bigint
            )
            union all
            (
                select o.delivery_id
                from webhook_deliveries as o
                where
                    o.state = 'given_up'
                    and o.ended_at < now() - make_interval(secs => %(keep_given_up_s)s::double precision)
                order by o.ended_at
                limit %(batch)s::bigint
            )
            union all
            (
                -- Of endpoints that were removed.
                select l.delivery_id
                from (
                    select o.delivery_id, o.webhook_id
                    from webhook_deliveries as o
                    where o.state = 'waiting'
                    order by o.expires_at
                    limit %(batch)s::bigint
                ) as l
                where not exists (select from webhooks as w where w.webhook_id = l.webhook_id)
            )
        )
    returning d.delivery_id
)

select
    (select count(*) from expired) as given_up,
    (select count(*) from deleted) as deleted,
    array(select d.name from dead as d order by d.name) as disabled;
