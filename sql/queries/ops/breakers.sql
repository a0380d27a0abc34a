-- breakers: which providers are used, and which are left alone, why, since when, and when they are tried next.
select
    h.provider,
    h.state,
    h.reason,
    h.misconfigured,
    h.opened_at,
    extract(epoch from clock_timestamp() - h.opened_at)::double precision as open_s,
    h.retry_at,
    greatest(extract(epoch from h.retry_at - clock_timestamp()), 0)::double precision as retry_in_s,
    h.openings as tries,
    h.strikes
from provider_health as h
order by h.provider;
