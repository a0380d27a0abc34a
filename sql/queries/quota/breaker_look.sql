-- breaker_look: the breakers as they are now.
-- Gives  a row a provider: provider, state, reason, epoch, strikes; misconfigured: open for our key, credit, model or
--        input; retry_s: seconds until a probe may be taken, of one that is under way until it may be replaced; null
--        while it is closed, or was opened by hand; by_hand: what a person did that no worker has logged yet, opened or
--        closed.
select
    h.provider,
    h.state,
    h.reason,
    h.misconfigured,
    h.epoch,
    h.strikes,
    h.by_hand,
    extract(
        epoch from case h.state when 'open' then h.retry_at when 'half_open' then h.probe_until end - clock_timestamp()
    )::double precision as retry_s
from provider_health as h;
