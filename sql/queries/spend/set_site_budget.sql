-- set_site_budget: set the site's own budget. A pause because of the budget ends with any change of the budget in force;
--        the next attempt checks the new budget.
-- Takes  instance_id; budget_day_usd, budget_month_usd; set_budget_day, set_budget_month boolean: change this value; a
--        null then leaves the budget of its plan, if there is one.
-- Gives  one row if the site exists.
update sites as s
set
    own_budget_day_usd = case when %(set_budget_day)s then %(budget_day_usd)s::numeric else s.own_budget_day_usd end,
    own_budget_month_usd = case
        when %(set_budget_month)s then %(budget_month_usd)s::numeric else s.own_budget_month_usd
    end
where s.instance_id = %(instance_id)s
returning s.instance_id;
