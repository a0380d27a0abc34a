-- metrics_fleet: workers, money and the oldest transaction.
-- Gives  one row: alive, draining, lost: workers; slots, slots_in_use: of those that live; pool_waiting: callers that
--        wait for a connection, of the live worker where most wait; posts, cost_usd: ever;
--        spent_day_usd, spent_month_usd (UTC); budget_day_usd, budget_month_usd: null: no limit; budget_reached;
--        oldest_transaction_s: 0: none is open. A role sees only its own transactions unless it is a member of
--        pg_read_all_stats.
select
    w.alive,
    w.draining,
    w.lost,
    w.slots,
    w.slots_in_use,
    w.pool_waiting,
    f.posts,
    f.cost_usd,
    s.on_day::double precision as spent_day_usd,
    s.in_month::double precision as spent_month_usd,
    b.day_usd::double precision as budget_day_usd,
    b.month_usd::double precision as budget_month_usd,
    coalesce(b.stopped_until > now(), false) as budget_reached,
    (
        select coalesce(extract(epoch from now() - min(a.xact_start)), 0)::double precision
        from pg_stat_activity as a
        where a.datname = current_database() and a.backend_type = 'client backend' and a.pid <> pg_backend_pid()
    ) as oldest_transaction_s
from fleet_budget as b
cross join spent_usd(null, now()) as s
cross join (
    select
        count(*) filter (where o.lease_until > now() and not o.draining) as alive,
        count(*) filter (where o.lease_until > now() and o.draining) as draining,
        count(*) filter (where o.lease_until <= now()) as lost,
        coalesce(sum(o.concurrency) filter (where o.lease_until > now() and not o.draining), 0)::bigint as slots,
        coalesce(sum(o.in_flight) filter (where o.lease_until > now()), 0)::bigint as slots_in_use,
        coalesce(max(json_number(o.stats -> 'pool_waiting', 1000000)) filter (where o.lease_until > now()), 0)::integer
            as pool_waiting
    from workers as o
) as w
cross join (
    select
        coalesce(sum(d.posts), 0)::double precision as posts,
        coalesce(sum(d.cost_usd), 0)::double precision as cost_usd
    from fleet_spend as d
) as f;
