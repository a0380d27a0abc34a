-- spending: the month as it goes, the total budget, and what is left of it.
-- Gives  one row: the view of that name, and today (UTC).
select s.*, utc_day(now()) as today from spending as s;
