-- breaker_close: a person knows that the provider can be used again.
-- Takes  provider.
-- Gives  provider, or no row when it is closed already, or unknown.
update provider_health as h
set state = 'closed'
where h.provider = %(provider)s and h.state <> 'closed'
returning h.provider;
