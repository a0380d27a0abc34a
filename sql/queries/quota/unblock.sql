-- unblock: a person knows that the vendor takes calls again. Calls that wait for the end of the block ask again.
-- Takes  name.
-- Gives  name, or no row when it is not blocked, or unknown.
update quotas as q
set blocked_until = clock_timestamp(), epoch = (q.epoch + 1) %% 2000000000
where q.name = %(name)s and q.blocked_until > clock_timestamp()
returning q.name;
