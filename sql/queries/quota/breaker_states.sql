-- breaker_states: read the state of all breakers.
-- Gives  a row per provider: provider, state, reason, epoch, strikes; openings: since it was closed or its cause changed;
--        misconfigured: open because of our key, credit, model or input; refused_main: in a main call; retry_s: seconds until a probe may start, or until a running
--        probe may be replaced, null while closed or opened by a person; by_hand: opened or closed by a person, if no
--        worker has logged it yet.
select
    h.provider,
    h.state,
    h.reason,
    h.misconfigured,
    h.refused_main,
    h.epoch,
    h.strikes,
    h.openings,
    h.by_hand,
    extract(
        epoch from case h.state when 'open' then h.retry_at when 'half_open' then h.probe_until end - clock_timestamp()
    )::double precision as retry_s
from provider_health as h;
