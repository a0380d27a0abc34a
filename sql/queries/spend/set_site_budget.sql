-- set_site_budget: what a site may spend. A pause for want of money ends with any change: the next attempt asks anew.
-- Takes  instance_id; budget_day_usd, budget_month_usd; set_budget_day, set_budget_month boolean: true where a null of
--        theirs means that there is no budget.
-- Gives  one row if the site exists.
update sites as s
set
    budget_day_usd = case when %(set_budget_day)s then %(budget_day_usd)s::numeric else s.budget_day_usd end,
    budget_month_usd = case when %(set_budget_month)s then %(budget_month_usd)s::numeric else s.budget_month_usd end
where s.instance_id = %(instance_id)s
returning s.instance_id;
