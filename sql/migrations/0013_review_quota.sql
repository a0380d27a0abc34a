-- A pace that a clock set back cannot turn round.

-- As in 0003, but for "slow down", whose recovery is bounded below: after a failover to a server whose clock is behind,
-- its moment may lie ahead. A pace below zero would move the clocks back with each call, and let everything through.
create or replace function quota_pace(q quotas, t timestamptz) returns double precision language sql immutable as $$
    select
        least(
            1,
            greatest(0.02, 2 * least(coalesce(q.requests_left, 1), coalesce(q.tokens_left, 1)))
            + greatest(0, extract(epoch from t - q.learned_at) - 10) / 60
        )::double precision
        * least(1, q.slowed + greatest(0, extract(epoch from t - q.slowed_at)) / 120)::double precision
$$;
