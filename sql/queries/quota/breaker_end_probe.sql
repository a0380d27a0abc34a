-- breaker_end_probe: how the probe ended.
-- Takes  probe uuid; verdict: alive, down or unused; refused boolean: our key, credit or model; main
--        boolean: in a main call; reason text.
-- Gives  one row: open_s, how long the breaker had been open when this very statement closed it, else null.
-- Locks  the provider's row.
select breaker_end_probe(%(probe)s::uuid, %(verdict)s, %(refused)s::boolean, %(main)s::boolean, %(reason)s) as open_s;
