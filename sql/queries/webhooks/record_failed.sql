-- record_failed: an attempt to deliver failed; try again later, or give up.
-- Takes  delivery_id; attempt: writes nothing if another worker has taken it over; error; delay_s: until the next attempt;
--        rest_s: so long nothing is sent to the endpoint, times two for each of its failures in a row, up to longest_rest_s;
--        null: the endpoint is not to blame; wait_s: the wait that it asked for, null: none. A delivery that has expired is given up.
-- Gives  state of the delivery; failures of the endpoint, null: not changed; no row if the attempt was taken over.
-- Locks  the delivery; the endpoint, unless another transaction has locked it.
with failed as (
    update webhook_deliveries as d
    set
        state = case when d.expires_at < now() then 'given_up' else 'waiting' end,
        ended_at = case when d.expires_at < now() then now() end,
        leased_until = null,
        due_at = now() + make_interval(
            secs => greatest(%(delay_s)s::double precision, %(wait_s)s::double precision)
        ),
        last_error = %(error)s
    where d.delivery_id = %(delivery_id)s and d.attempts = %(attempt)s::integer and d.state = 'waiting'
    returning d.webhook_id, d.state
),

-- Of several calls that fail at the same time, the first one counts.
rested as (
    update webhooks as w
    set
        failures = least(1000000, w.failures + 1),
        failing_since = coalesce(w.failing_since, now()),
        last_error = %(error)s,
        retry_at = now() + make_interval(
            secs => greatest(
                least(
                    %(longest_rest_s)s::double precision,
                    %(rest_s)s::double precision * 2 ^ least(20, w.failures)
                ),
                %(wait_s)s::double precision
            )
        )
    where
        w.webhook_id in (
            select e.webhook_id
            from webhooks as e
            join failed using (webhook_id)
            where
                %(rest_s)s::double precision is not null
                and (e.retry_at <= now() or e.retry_at < now() + make_interval(secs => %(wait_s)s::double precision))
            for no key update of e skip locked
        )
    returning w.webhook_id, w.failures
)

select f.state, r.failures
from failed as f
left join rested as r using (webhook_id);
