-- breaker_tell: take over telling, in a worker's log, what a person did to breakers. One worker of the fleet gets each.
-- Takes  providers text[].
-- Gives  rows: provider; by_hand: opened or closed; open_s: how long one that was closed had been open; reason.
-- Locks  the providers' rows, skipping those that others have locked: they are asked for again.
with untold as (
    select h.provider, h.by_hand, h.open_s
    from provider_health as h
    where h.provider = any (%(providers)s::text[]) and h.by_hand is not null
    order by h.provider
    for no key update skip locked
)

update provider_health as h
set by_hand = null, open_s = null
from untold as u
where h.provider = u.provider
returning h.provider, u.by_hand, u.open_s, h.reason;
