-- unblock: end a block, because a person knows that the provider accepts calls again. Waiting calls ask again.
-- Takes  name.
-- Gives  name; blocked_before: when the block would have ended; no row if the bucket is not blocked or unknown.
-- Locks  the row of the bucket.
with was as (
    select o.name, o.blocked_until
    from quotas as o
    where o.name = %(name)s and o.blocked_until > clock_timestamp()
    for update
)

update quotas as q
set blocked_until = clock_timestamp(), epoch = (q.epoch + 1) %% 2000000000
from was as w
where q.name = w.name
returning q.name, w.blocked_until as blocked_before;
