-- breaker_report: report failed calls of the provider, and the successes not reported yet.
-- Takes  provider; successes int; succeeded: the site of the last success; failed text[]: the site of each failure,
--        null for a provider without sites; refused boolean: our key, credit or model; main boolean: in a main call;
--        reason text; report uuid, a new one for each report.
-- Gives  one row: opened boolean: this report opened the breaker. The same report sent again gives the same answer.
-- Locks  the provider's row.
select breaker_report(
    %(provider)s, %(successes)s::integer, %(succeeded)s, %(failed)s::text[], %(refused)s::boolean, %(main)s::boolean,
    %(reason)s, %(report)s::uuid
) as opened;
