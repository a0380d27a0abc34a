-- follow_plans: apply plans to sites that lack the values of theirs, and shares of the quotas. See the function.
-- Gives  one row: followed: number of sites that changed.
-- Locks  those sites, skipping the ones that other transactions have locked.
select follow_plans() as followed;
