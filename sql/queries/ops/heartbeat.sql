-- heartbeat: queue and quotas in short, for the log line that every worker writes.
-- Gives  one row: pending (counted to 100,000); ready_sites (to 10,000); oldest_wait_s (of the sites at the head of
--        the line, where waits are longest); finished_last_minute; workers;
--        oldest_xmin_age_s: age of the oldest transaction that keeps vacuum from removing dead rows, null: there is none;
--        spent_today_usd (UTC); budget_exhausted: why the total budget stops paid stages, null: it does not;
--        open_breakers text[]: the providers whose circuit breaker is open;
--        quotas jsonb: name -> queue_length; requests_in_last_minute, max_requests, requests_percent; same for tokens;
--        requests_ahead_s, tokens_ahead_s: how many seconds into the future calls were granted. Only the 20 most used,
--        without the quotas of sites, of which there may be thousands; sites_blocked: how many of those a 429 blocked.
select
    pending_count(100000) as pending,
    sites_in_line(10000) as ready_sites,
    (
        select extract(epoch from now() - min(j.since))::double precision
        from (
            select s.instance_id
            from sites as s
            where is_in_line(s)
            order by s.virtual_time, s.ready_at desc
            limit 100
        ) as h
        cross join lateral (
            select greatest(g.run_at, g.created_at) as since
            from blog_generations as g
            where g.instance_id = h.instance_id and g.status = 'PENDING'
            order by g.priority desc, g.id
            limit 1
        ) as j
    ) as oldest_wait_s,
    (select count(*) from blog_generations as g where g.finished_at > now() - interval '1 minute')
        as finished_last_minute,
    (select count(*) from workers as w where w.lease_until > now()) as workers,
    (
        select extract(epoch from now() - min(a.xact_start))::double precision
        from pg_stat_activity as a
        where a.backend_xmin is not null and a.pid <> pg_backend_pid()
    ) as oldest_xmin_age_s,
    (select s.on_day::double precision from spent_usd(null, now()) as s) as spent_today_usd,
    (select b.stop_reason from fleet_budget as b where b.stopped_until > now()) as budget_exhausted,
    array(select h.provider from provider_health as h where h.state <> 'closed' order by h.provider) as open_breakers,
    (
        select coalesce(
            jsonb_object_agg(
                q.name,
                jsonb_strip_nulls(
                    jsonb_build_object(
                        'queue_length', q.queue_length,
                        'requests_in_last_minute', q.requests_in_last_minute,
                        'max_requests', q.max_requests,
                        'requests_percent', q.requests_percent,
                        'tokens_in_last_minute', q.tokens_in_last_minute,
                        'max_tokens', q.max_tokens,
                        'tokens_percent', q.tokens_percent,
                        'requests_ahead_s', round(q.requests_ahead_s::numeric, 2),
                        'tokens_ahead_s', round(q.tokens_ahead_s::numeric, 2)
                    )
                )
            ),
            '{}'
        )
        from (
            select v.*
            from v_quotas as v
            where v.provider <> 'wix'
            order by greatest(v.requests_percent, v.tokens_percent) desc, v.name
            limit 20
        ) as q
    ) as quotas,
    (select count(*) from quotas as q where q.provider = 'wix' and q.blocked_until > now())
        as sites_blocked;
