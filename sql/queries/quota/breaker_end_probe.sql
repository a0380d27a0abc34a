-- breaker_end_probe: record how a probe ended.
-- Takes  probe uuid; verdict: alive, down or unused; refused boolean: the provider refused our key, credit or model;
--        main boolean: in a main call; reason text.
-- Gives  one row: open_s: how long the breaker was open, if this statement closed it, else null.
-- Locks  the provider's row.
select breaker_end_probe(%(probe)s::uuid, %(verdict)s, %(refused)s::boolean, %(main)s::boolean, %(reason)s) as open_s;
