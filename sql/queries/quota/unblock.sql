-- unblock: end a block, because a person knows that the provider accepts calls again. Waiting calls ask again.
-- Takes  name.
-- Gives  name; no row if the bucket is not blocked or unknown.
update quotas as q
set blocked_until = clock_timestamp(), epoch = (q.epoch + 1) %% 2000000000
where q.name = %(name)s and q.blocked_until > clock_timestamp()
returning q.name;
