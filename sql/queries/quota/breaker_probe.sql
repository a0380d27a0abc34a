-- breaker_probe: take the one call that an open breaker lets through, once its time has come.
-- Takes  provider; probe uuid; probe_s: how long its worker may be silent before another takes its place.
-- Gives  provider, or no row: it is not yet time, somebody else has it, or it is closed.
-- Locks  the provider's row; who comes second finds it taken.
update provider_health as h
set
    state = 'half_open',
    probe = %(probe)s::uuid,
    probe_until = clock_timestamp() + make_interval(secs => %(probe_s)s),
    updated_at = clock_timestamp()
where
    h.provider = %(provider)s
    and (
        (h.state = 'open' and h.retry_at <= clock_timestamp())
        or (h.state = 'half_open' and h.probe_until <= clock_timestamp())
    )
returning h.provider;
