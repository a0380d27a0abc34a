-- set_fleet_budget: set the budget of all sites together.
-- Takes  day_usd, month_usd; set_day, set_month boolean: change this value; a null then removes the budget.
-- Gives  one row: day_usd, month_usd.
-- Locks  the row of the total budget.
update fleet_budget as b
set
    day_usd = case when %(set_day)s then %(day_usd)s::numeric else b.day_usd end,
    month_usd = case when %(set_month)s then %(month_usd)s::numeric else b.month_usd end
returning b.day_usd, b.month_usd;
