-- limit_time: no statement that follows in this transaction takes longer; the database stops it with 57014.
-- Takes  seconds.
select set_config('statement_timeout', (%(seconds)s::double precision * 1000)::integer::text, true) as statement_timeout;
