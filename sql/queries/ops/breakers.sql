-- breakers: the circuit breakers of providers: state, reason, how long they are open, and the next probe.
-- Gives  one row per provider. Where API keys belong to accounts, each account has its own breaker, and the provider
--        itself is listed only if it was used in the last day.
select
    h.provider,
    h.state,
    h.reason,
    h.misconfigured,
    h.opened_at,
    extract(epoch from clock_timestamp() - h.opened_at)::double precision as open_s,
    h.retry_at,
    case
        when h.retry_at is not null then greatest(extract(epoch from h.retry_at - clock_timestamp()), 0)::double precision
    end as retry_in_s,
    h.openings as tries,
    h.strikes
from provider_health as h
where
    h.state <> 'closed'
    or h.strikes > 0
    or h.succeeded_at > now() - interval '1 day'
    or not exists (select from provider_health as o where starts_with(o.provider, h.provider || '@'))
order by h.provider;
