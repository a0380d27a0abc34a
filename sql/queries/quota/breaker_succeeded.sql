-- breaker_succeeded: tell of successes, and that probes are still under way. Once a second at most.
-- Takes  providers text[], successes int[], sites text[] of the last of each (same order); probes uuid[], of calls that
--        are being made; probe_s: how long each of them may be silent.
-- Locks  the providers' rows, in key order.
with told as (
    select t.provider, t.successes, t.site
    from unnest(%(providers)s::text[], %(successes)s::integer[], %(sites)s::text[]) as t (provider, successes, site)
),

held as (
    select h.provider
    from provider_health as h
    where h.provider in (select t.provider from told as t) or h.probe = any (%(probes)s::uuid[])
    order by h.provider
    for no key update
)

update provider_health as h
set
    struck = case when h.state = 'closed' then h.struck[coalesce(t.successes, 0) + 1:] else h.struck end,
    succeeded_at = case when t.successes > 0 then clock_timestamp() else h.succeeded_at end,
    succeeded_site = case when t.successes > 0 then t.site else h.succeeded_site end,
    probe_until = case
        when h.probe = any (%(probes)s::uuid[]) then clock_timestamp() + make_interval(secs => %(probe_s)s)
        else h.probe_until
    end
from held as l
left join told as t using (provider)
where h.provider = l.provider;
