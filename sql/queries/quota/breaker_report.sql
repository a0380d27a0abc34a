-- breaker_report: tell of calls that failed for the provider's sake, and of the successes not yet told.
-- Takes  provider; successes int; succeeded: the site of the last of them; failed text[]: the site of each failure, null
--        where the provider has none; refused boolean: our key, credit or model; main boolean: in a main call; reason
--        text; report uuid, new with each.
-- Gives  one row: opened boolean, whether this very report opened the breaker, also when it is told again.
-- Locks  the provider's row.
select breaker_report(
    %(provider)s, %(successes)s::integer, %(succeeded)s, %(failed)s::text[], %(refused)s::boolean, %(main)s::boolean,
    %(reason)s, %(report)s::uuid
) as opened;
