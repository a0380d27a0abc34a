-- breaker_manual_changes: take the changes that a person made to breakers, to log them. One worker of the fleet gets
-- each.
-- Takes  providers text[].
-- Gives  rows: provider; by_hand: opened or closed; open_s: seconds open before it was closed; reason.
-- Locks  the providers' rows, skipping those that other transactions have locked; a later call takes them.
with not_logged as (
    select h.provider, h.by_hand, h.open_s
    from provider_health as h
    where h.provider = any (%(providers)s::text[]) and h.by_hand is not null
    order by h.provider
    for no key update skip locked
)

update provider_health as h
set by_hand = null, open_s = null
from not_logged as u
where h.provider = u.provider
returning h.provider, u.by_hand, u.open_s, h.reason;
