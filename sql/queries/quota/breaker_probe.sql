-- breaker_probe: take the one call that an open breaker allows, if it is due.
-- Takes  provider; probe uuid; probe_s: how long the worker of a probe may be silent before another worker takes it.
-- Gives  provider; no row if a probe is not due yet, another worker has it, or the breaker is closed.
-- Locks  the provider's row; a second caller waits for the first, then finds the probe taken.
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
