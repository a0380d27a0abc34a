-- breaker_close: close a breaker, because a person knows that the provider works again.
-- Takes  provider.
-- Gives  provider; no row if the breaker is closed already or unknown.
update provider_health as h
set state = 'closed'
where h.provider = %(provider)s and h.state <> 'closed'
returning h.provider;
