-- metrics_webhooks: deliveries and endpoints that may need a person.
-- Takes  most: rows of each kind are counted up to this number; late_s.
-- Gives  one row: waiting, late (of these, older than late_s and not for a paused endpoint), given_up (and not deleted yet);
--        active, paused, failing, disabled: endpoints; names text[]: of those that fail or are disabled.
-- Plan   webhook_deliveries_waiting_idx, webhook_deliveries_ended_idx.
select
    d.waiting,
    d.late,
    (
        select count(*)
        from (select from webhook_deliveries as g where g.state = 'given_up' order by g.ended_at limit %(most)s::bigint) as l
    ) as given_up,
    e.active,
    e.paused,
    e.failing,
    e.disabled,
    e.names
from (
    select
        count(*) as waiting,
        count(*) filter (
            where o.created_at < now() - make_interval(secs => %(late_s)s::double precision) and w.paused_at is null
        ) as late
    from (
        select l.created_at, l.webhook_id
        from webhook_deliveries as l
        where l.state = 'waiting'
        order by l.expires_at
        limit %(most)s::bigint
    ) as o
    left join webhooks as w using (webhook_id)
) as d
cross join (
    select
        count(*) filter (where w.disabled_at is null and w.paused_at is null and w.failures = 0) as active,
        count(*) filter (where w.disabled_at is null and w.paused_at is not null) as paused,
        count(*) filter (where w.disabled_at is null and w.paused_at is null and w.failures > 0) as failing,
        count(*) filter (where w.disabled_at is not null) as disabled,
        coalesce(
            array_agg(w.name order by w.name) filter (
                where w.disabled_at is not null or (w.failures > 0 and w.paused_at is null)
            ),
            '{}'
        ) as names
    from webhooks as w
) as e;
