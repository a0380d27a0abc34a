-- claim: lease deliveries that are due, to send them.
-- Takes  most: number of deliveries; in_flight: most deliveries of one endpoint that the whole fleet sends at once (a claim
--        that began before another one was committed may exceed it); lease_s;
--        named text[]: endpoints whose address this worker's settings have; signs boolean: this worker has the signing key.
-- Gives  rows: delivery_id, attempt, message_id, event, payload, created_at, sent_at (epoch, the signature has it);
--        webhook_id, name, url, format.
-- Locks  the endpoints, skipping those that other transactions have locked; the deliveries.
-- Plan   webhook_deliveries_due_idx, webhook_deliveries_leased_idx.
--
-- Endpoints take turns, so that one with a long backlog delays no other. One that fails gets a single delivery at a time,
-- after a pause that grows: a dead endpoint costs few calls, whatever waits for it.
with endpoints as materialized (
    select w.webhook_id, w.name, w.url, w.format, w.failures
    from webhooks as w
    where
        w.paused_at is null
        and w.disabled_at is null
        and w.retry_at <= now()
        and (w.url is not null or w.name = any (%(named)s::text[]))
        and (w.format = 'slack' or %(signs)s::boolean)
        and exists (
            select from webhook_deliveries as d
            where d.webhook_id = w.webhook_id and d.state = 'waiting' and d.due_at <= now()
        )
    order by w.webhook_id
    for no key update skip locked
),

due as (
    select d.delivery_id, d.place, e.webhook_id, e.name, e.url, e.format
    from endpoints as e
    cross join lateral (
        select l.delivery_id, row_number() over (order by l.due_at, l.delivery_id) as place
        from (
            select w.delivery_id, w.due_at
            from webhook_deliveries as w
            where w.webhook_id = e.webhook_id and w.state = 'waiting' and w.due_at <= now()
            order by w.due_at
            limit greatest(
                0,
                case when e.failures > 0 then 1 else %(in_flight)s::bigint end - (
                    select count(*)
                    from webhook_deliveries as s
                    where s.webhook_id = e.webhook_id and s.leased_until > now()
                )
            )
            for update skip locked
        ) as l
    ) as d
    order by d.place, e.webhook_id
    limit %(most)s::bigint
)

update webhook_deliveries as d
set
    attempts = d.attempts + 1,
    due_at = now() + make_interval(secs => %(lease_s)s::double precision),
    leased_until = now() + make_interval(secs => %(lease_s)s::double precision)
from due
where d.delivery_id = due.delivery_id
returning
    d.delivery_id,
    d.attempts as attempt,
    d.message_id,
    d.event,
    d.payload,
    d.created_at,
    extract(epoch from clock_timestamp())::bigint as sent_at,
    due.webhook_id,
    due.name,
    due.url,
    due.format;
