-- breaker_report: tell of calls that failed for the provider's sake, and of the successes not yet told.
-- Takes  provider; successes int; failures int; refused boolean: our key, credit or model; reason text.
-- Gives  one row: opened boolean, whether this very statement opened the breaker.
-- Locks  the provider's row.
select breaker_report(
    %(provider)s, %(successes)s::integer, %(failures)s::integer, %(refused)s::boolean, %(reason)s
) as opened;
