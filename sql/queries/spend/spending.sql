-- spending: what was spent this month, the total budget, and what is left of it.
-- Gives  one row: the columns of the view, and today (UTC).
select s.*, utc_day(now()) as today from spending as s;
