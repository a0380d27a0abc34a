-- webhooks: the endpoints, what waits for them, and which fail.
-- Takes  most: the waiting deliveries of an endpoint, and those given up of all, are counted up to this number.
-- Gives  rows: webhook_id, name, url, events, instance_ids, format, created_at, paused_at, pause_reason, disabled_at,
--        disabled_reason, failures, failing_since, retry_at, last_error; waiting, given_up: deliveries; oldest: of those
--        that wait.
-- Plan   webhook_deliveries_due_idx, webhook_deliveries_ended_idx.
select
    w.webhook_id,
    w.name,
    w.url,
    w.events,
    w.instance_ids,
    w.format,
    w.created_at,
    w.paused_at,
    w.pause_reason,
    w.disabled_at,
    w.disabled_reason,
    w.failures,
    w.failing_since,
    w.retry_at,
    w.last_error,
    (
        select count(*)
        from (
            select
            from webhook_deliveries as d
            where d.webhook_id = w.webhook_id and d.state = 'waiting'
            limit %(most)s::bigint
        ) as l
    ) as waiting,
    coalesce(g.given_up, 0) as given_up,
    (
        select min(l.created_at)
        from (
            select d.created_at
            from webhook_deliveries as d
            where d.webhook_id = w.webhook_id and d.state = 'waiting'
            limit %(most)s::bigint
        ) as l
    ) as oldest
from webhooks as w
left join (
    select l.webhook_id, count(*) as given_up
    from (
        select d.webhook_id
        from webhook_deliveries as d
        where d.state = 'given_up'
        order by d.ended_at desc
        limit %(most)s::bigint
    ) as l
    group by l.webhook_id
) as g using (webhook_id)
order by w.name;
