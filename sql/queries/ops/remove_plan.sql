-- remove_plan: delete a plan.
-- Takes  name.
-- Gives  one row if it existed.
-- Raises 23503 if sites have it, or if it is the standard plan.
delete from plans as p where p.name = %(name)s returning p.name;
