-- A pace that a clock set back cannot turn round, and advice on a budget that helps.

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

-- As in 0008, but for the amount it advises: one that leaves room for what is spent already, however far that is beyond
-- a budget that was lowered.
create or replace function over_budget(
    whose text, advice text, budget_day numeric, budget_month numeric, spent_day numeric, spent_month numeric,
    in_hand numeric, wanted numeric, t timestamptz, out reason text, out until timestamptz
) language plpgsql immutable as $$
declare
    b record;
begin
    select v.*, v.spent + wanted > v.budget or v.spent >= v.budget as used_up into b
    from (
        values
        ('month', budget_month, spent_month, date_trunc('month', t at time zone 'UTC') + interval '1 month'),
        ('day', budget_day, spent_day, date_trunc('day', t at time zone 'UTC') + interval '1 day')
    ) as v (period, budget, spent, ends)
    where v.spent + in_hand + wanted > v.budget or v.spent >= v.budget
    order by used_up desc, v.ends desc
    limit 1;
    if not found then
        return;
    end if;
    reason := format(
        '%s budget of %s a %s has no room for a blog: %s spent, %sone may cost %s; ',
        whose, usd_text(b.budget), b.period, usd_text(b.spent),
        case when in_hand > 0 then format('up to %s for blogs in hand, ', usd_text(in_hand)) else '' end,
        usd_text(wanted)
    );
    if b.used_up then
        until := b.ends at time zone 'UTC';
        reason := reason || format(
            'resumes %s UTC, or raise it: %s%s %s',
            to_char(b.ends, 'YYYY-MM-DD HH24:MI'), advice, b.period,
            trim_scale(greatest(2 * b.budget, ceil(b.spent + in_hand + wanted)))
        );
    else
        until := t + interval '5 seconds';
        reason := reason || 'asked again in seconds';
    end if;
end
$$;
