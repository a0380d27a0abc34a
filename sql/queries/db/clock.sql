-- clock: the database's time.
-- Gives  now.
select now() as now
