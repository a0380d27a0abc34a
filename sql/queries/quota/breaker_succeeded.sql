-- breaker_succeeded: report successes, and that probes are still running. Called at most once per second.
-- Takes  providers text[], successes int[], sites text[] of the last success of each (same order); probes uuid[] of
--        running calls; probe_s: how long the worker of a probe may be silent.
-- Locks  the providers' rows, in key order.
with reported as (
    select t.provider, t.successes, t.site
    from unnest(%(providers)s::text[], %(successes)s::integer[], %(sites)s::text[]) as t (provider, successes, site)
),

locked as (
    select h.provider
    from provider_health as h
    where h.provider in (select t.provider from reported as t) or h.probe = any (%(probes)s::uuid[])
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
from locked as l
left join reported as t using (provider)
where h.provider = l.provider;
