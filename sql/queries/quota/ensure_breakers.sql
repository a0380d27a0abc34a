-- ensure_breakers: make the breakers that are missing, closed.
-- Takes  providers text[]: a provider, or provider@account.
insert into provider_health (provider)
select p.provider from unnest(%(providers)s::text[]) as p (provider)
on conflict (provider) do nothing;
