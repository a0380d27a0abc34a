-- clock: the time, of the one clock that decides.
-- Gives  now.
select now() as now
