-- limit_time: limit the time of each later statement in this transaction. The database cancels it with 57014.
-- Takes  seconds.
select set_config('statement_timeout', (%(seconds)s::double precision * 1000)::integer::text, true) as statement_timeout;
