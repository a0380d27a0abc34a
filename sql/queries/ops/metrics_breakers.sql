-- metrics_breakers: the state of circuit breakers, those that are not closed first.
-- Takes  most: number of breakers. Where API keys belong to accounts, each account has one.
-- Gives  rows: provider, state.
select h.provider, h.state
from provider_health as h
order by h.state = 'closed', h.provider
limit %(most)s::bigint;
