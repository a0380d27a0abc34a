-- forecast: the forecast of the queue for the waiting jobs.
-- Gives  one row: now_s: the database's clock; forecast_s: seconds until all of them have started.
select
    extract(epoch from clock_timestamp())::double precision as now_s,
    60 * pending_count(1000000) / blogs_per_minute() as forecast_s;
