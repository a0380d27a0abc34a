-- ensure_breakers: create the missing breakers, closed.
-- Takes  providers text[]: a provider, or provider@account.
insert into provider_health (provider)
select p.provider from unnest(%(providers)s::text[]) as p (provider)
on conflict (provider) do nothing;
