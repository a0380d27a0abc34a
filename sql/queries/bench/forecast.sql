-- forecast: how long the queue says that what waits will take.
-- Gives  one row: now_s: the database's clock; said_s: until everything that waits has started.
select
    extract(epoch from clock_timestamp())::double precision as now_s,
    60 * pending_count(1000000) / blogs_per_minute() as said_s;
