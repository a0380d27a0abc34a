-- set_site_budget: set the budget of a site. A pause because of the budget ends with any change; the next attempt checks
--        the new budget.
-- Takes  instance_id; budget_day_usd, budget_month_usd; set_budget_day, set_budget_month boolean: change this value; a
--        null then removes the budget.
-- Gives  one row if the site exists.
update sites as s
set
    budget_day_usd = case when %(set_budget_day)s then %(budget_day_usd)s::numeric else s.budget_day_usd end,
    budget_month_usd = case when %(set_budget_month)s then %(budget_month_usd)s::numeric else s.budget_month_usd end
where s.instance_id = %(instance_id)s
returning s.instance_id;
