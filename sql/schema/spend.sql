-- Spend: the ledger, budgets, and what attempts in progress hold of them.
--
-- The ledger is provider_usage, by the hour. Budgets are checked once for each attempt, so they read sums by the UTC
-- day, which a trigger keeps: a month of a site is at most 31 rows. The sum of the fleet is spread over 16 rows for
-- each day, because otherwise all sites would wait for one row whenever a call is booked.
--
-- What an attempt may cost is noted on its job before it pays (blog_generations.held_usd), and counts while that
-- attempt runs. There is nothing to give back: an attempt that ended, or that was rescued, does not count any more.

create table provider_usage (
    hour timestamptz not null,
    provider text not null,
    model text not null,
    instance_id text not null,
    requests bigint not null default 0,
    tokens_in bigint not null default 0,
    tokens_cached bigint not null default 0,
    tokens_out bigint not null default 0,
    cost_usd numeric(14, 6) not null default 0,
    unpriced bigint not null default 0, -- requests of a model without a price: cost_usd lacks them
    wasted bigint not null default 0, -- requests whose answer did not become part of the post
    wasted_usd numeric(14, 6) not null default 0,
    posts bigint not null default 0, -- that the model wrote and that were scored
    score_sum bigint not null default 0, -- of their scores

    primary key (hour, provider, model, instance_id),
    constraint texts_are_bounded check (
        length(provider) <= 200 and length(model) <= 200 and length(instance_id) <= 200
    ),
    constraint sums_can_be_added_to check (
        requests between 0 and 1e15
        and tokens_in between 0 and 1e15
        and tokens_cached between 0 and 1e15
        and tokens_out between 0 and 1e15
        and unpriced between 0 and 1e15
        and wasted between 0 and 1e15
        and cost_usd between 0 and 99999999
        and wasted_usd between 0 and 99999999
    ),
    constraint scores_can_be_added_to check (
        posts between 0 and 1000000000000 and score_sum between 0 and 100 * posts
    ),
    constraint times_are_date_times check (
        hour between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    )
) with (fillfactor = 50);

create table site_spend (
    instance_id text not null,
    day date not null, -- UTC
    cost_usd numeric(14, 6) not null default 0,
    posts bigint not null default 0,
    score_sum bigint not null default 0,

    primary key (instance_id, day),
    constraint sums_can_be_added_to check (cost_usd between -99999999 and 99999999),
    constraint scores_can_be_added_to check (
        abs(posts) <= 1000000000000000 and abs(score_sum) <= 100000000000000000
    ),
    constraint day_is_a_date check (day between '0001-01-01' and '9999-12-31')
) with (fillfactor = 70);

create index site_spend_day_idx on site_spend (day, cost_usd desc); -- the costliest sites; prune

create table fleet_spend (
    day date not null, -- UTC
    shard smallint not null,
    cost_usd numeric(14, 6) not null default 0,
    posts bigint not null default 0,
    score_sum bigint not null default 0,

    primary key (day, shard),
    constraint sums_can_be_added_to check (cost_usd between -99999999 and 99999999),
    constraint scores_can_be_added_to check (
        abs(posts) <= 1000000000000000 and abs(score_sum) <= 100000000000000000
    ),
    constraint day_is_a_date check (day between '0001-01-01' and '9999-12-31')
) with (fillfactor = 50);

-- One row: the budget of the fleet, and the gate that workers check before they claim.
create table fleet_budget (
    one boolean primary key default true check (one),
    day_usd numeric(14, 6) check (day_usd >= 0), -- null: no limit
    month_usd numeric(14, 6) check (month_usd >= 0),
    stopped_until timestamptz, -- until then nothing that costs money is claimed
    stop_reason text,
    stopped_for text, -- the job/attempt whose hold last stopped claims

    constraint budgets_are_bounded check (day_usd < 1e8 and month_usd < 1e8),
    constraint texts_are_bounded check (length(stop_reason) <= 10000 and length(stopped_for) <= 100),
    constraint times_are_date_times check (
        stopped_until between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    )
);

insert into fleet_budget default values;

create trigger replace_seeded_row before insert on fleet_budget
for each row when (restoring()) execute function replace_seeded_row('one');

-- Opens the gate when the budget changes, and wakes the workers: the next attempt checks the budget again.
create function fleet_budget_changed() returns trigger language plpgsql as $$
begin
    new.stopped_until := null;
    new.stop_reason := null;
    perform wake_workers();
    return new;
end
$$;

create trigger changed before update on fleet_budget
for each row when (
    (old.day_usd, old.month_usd) is distinct from (new.day_usd, new.month_usd)
) execute function fleet_budget_changed();

-- Sums ---------------------------------------------------------------------------------------------------------------

create function utc_day(t timestamptz) returns date language sql immutable as $$
    select (t at time zone 'UTC')::date
$$;

-- Adds what is booked to the sums of its day: dollars, posts and their scores.
create function provider_usage_summed() returns trigger language plpgsql as $$
declare
    usd numeric := new.cost_usd - case when tg_op = 'UPDATE' then old.cost_usd else 0 end;
    written bigint := new.posts - case when tg_op = 'UPDATE' then old.posts else 0 end;
    scored bigint := new.score_sum - case when tg_op = 'UPDATE' then old.score_sum else 0 end;
begin
    if usd <> 0 or written <> 0 or scored <> 0 then
        insert into site_spend as s (instance_id, day, cost_usd, posts, score_sum)
        values (new.instance_id, utc_day(new.hour), usd, written, scored)
        on conflict (instance_id, day) do update
        set
            cost_usd = least(99999999, greatest(-99999999, s.cost_usd + excluded.cost_usd)),
            posts = s.posts + excluded.posts,
            score_sum = s.score_sum + excluded.score_sum;
        insert into fleet_spend as f (day, shard, cost_usd, posts, score_sum)
        values (utc_day(new.hour), abs(hashtext(new.instance_id) % 16), usd, written, scored)
        on conflict (day, shard) do update
        set
            cost_usd = least(99999999, greatest(-99999999, f.cost_usd + excluded.cost_usd)),
            posts = f.posts + excluded.posts,
            score_sum = f.score_sum + excluded.score_sum;
    end if;
    return null;
end
$$;

create trigger summed after insert or update on provider_usage
for each row when (not restoring()) execute function provider_usage_summed();

-- Adds usage to the ledger. The sums stay within their bounds.
-- Takes  usages: one for each hour, provider, model and site; null, or a null among them: none.
-- Locks  the rows of the ledger, in the order given, then the totals of their days.
create function add_usage(usages provider_usage[]) returns void language plpgsql volatile strict as $$
begin
    insert into provider_usage as u select n.* from unnest(usages) as n where n.hour is not null
    on conflict (hour, provider, model, instance_id) do update
    set
        requests = least(1000000000000000, u.requests + excluded.requests),
        tokens_in = least(1000000000000000, u.tokens_in + excluded.tokens_in),
        tokens_cached = least(1000000000000000, u.tokens_cached + excluded.tokens_cached),
        tokens_out = least(1000000000000000, u.tokens_out + excluded.tokens_out),
        cost_usd = least(99999999, u.cost_usd + excluded.cost_usd),
        unpriced = least(1000000000000000, u.unpriced + excluded.unpriced),
        wasted = least(1000000000000000, u.wasted + excluded.wasted),
        wasted_usd = least(99999999, u.wasted_usd + excluded.wasted_usd),
        posts = u.posts + excluded.posts,
        score_sum = u.score_sum + excluded.score_sum;
end
$$;

-- The usage that books the score of a post for the model that wrote it: that of the repair, if there is one. Null: no
-- model is known.
create function score_usage(job bigint, site text, score integer) returns provider_usage
language sql stable as $$
    select row(date_trunc('hour', now(), 'UTC'), s.provider, s.model, site, 0, 0, 0, 0, 0, 0, 0, 0, 1, score)::provider_usage
    from generation_stages as s
    where
        s.generation_id = job
        and s.stage in ('content.draft', 'content.repair')
        and s.provider is not null
        and s.model is not null
    order by s.stage desc
    limit 1
$$;

-- Spent by a site, or by all sites where site is null, on the UTC day and in the UTC month of t.
create function spent_usd(site text, t timestamptz, out on_day numeric, out in_month numeric)
language plpgsql stable as $$
declare
    today date := utc_day(t);
    first date := date_trunc('month', today)::date;
begin
    if site is null then
        select coalesce(sum(f.cost_usd) filter (where f.day = today), 0), coalesce(sum(f.cost_usd), 0)
        into on_day, in_month
        from fleet_spend as f
        where f.day between first and today;
    else
        select coalesce(sum(s.cost_usd) filter (where s.day = today), 0), coalesce(sum(s.cost_usd), 0)
        into on_day, in_month
        from site_spend as s
        where s.instance_id = site and s.day between first and today;
    end if;
end
$$;

-- Held by attempts in progress, of a site or of all sites, except by the job but_not.
-- Hints  Planned on a small table, it read all 100,000 jobs: 143 ms, 2 ms with the hint.
create function sum_held_usd(site text, but_not bigint) returns numeric language plpgsql stable
set enable_seqscan = off set jit = off as $$
begin
    if site is null then
        return (
            select coalesce(sum(g.held_usd), 0)
            from blog_generations as g
            where g.status = 'PROCESSING' and g.held_for = g.attempt and g.id <> but_not
        );
    end if;
    return (
        select coalesce(sum(g.held_usd), 0)
        from blog_generations as g
        where g.instance_id = site and g.status = 'PROCESSING' and g.held_for = g.attempt and g.id <> but_not
    );
end
$$;

-- Holding ------------------------------------------------------------------------------------------------------------

-- An amount as people read it.
create function usd_text(amount numeric) returns text language sql immutable as $$
    select '$' || case
        when amount = round(amount, 2) or amount >= 1 then to_char(amount, 'FM999,999,990.00')
        else to_char(amount, 'FM0.0099')
    end
$$;

-- A word as it is typed into a shell, which interprets what stands in double quotes: producers choose the ids of
-- sites. What is neither a letter nor printable ASCII is written as bytes, for bash and its like.
create function shell_word(word text) returns text language sql stable as $$
    select case
        when word ~ '^[A-Za-z0-9_@%+=:,./-]+$' then word
        when word ~ '^[ -~]*$' then '''' || replace(word, '''', '''\''''') || ''''
        else '$''' || (
            select string_agg(
                case
                    when c.letter in ('''', '\') then '\' || c.letter
                    when c.letter ~ '[ -~[:alnum:]]' then c.letter
                    else regexp_replace(encode(convert_to(c.letter, 'UTF8'), 'hex'), '(..)', '\x\1', 'g')
                end,
                '' order by c.place
            )
            from string_to_table(word, null) with ordinality as c (letter, place)
        ) || ''''
    end
$$;

-- Why a job of `wanted` USD does not fit a budget, and until when; nulls if it fits. If what is spent leaves no
-- room: until the period ends. If only holds do: for a few seconds, since most attempts cost less than they hold.
create function over_budget(
    whose text, advice text, budget_day numeric, budget_month numeric, spent_day numeric, spent_month numeric,
    held numeric, wanted numeric, t timestamptz, out reason text, out until timestamptz
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
    where v.spent + held + wanted > v.budget or v.spent >= v.budget
    order by used_up desc, v.ends desc
    limit 1;
    if not found then
        return;
    end if;
    reason := format(
        '%s budget of %s a %s has no room for a job: %s spent, %sone may cost %s; ',
        whose, usd_text(b.budget), b.period, usd_text(b.spent),
        case when held > 0 then format('up to %s for jobs in progress, ', usd_text(held)) else '' end,
        usd_text(wanted)
    );
    if b.used_up then
        until := b.ends at time zone 'UTC';
        reason := reason || format(
            'resumes %s UTC, or raise it: %s%s %s',
            to_char(b.ends, 'YYYY-MM-DD HH24:MI'), advice, b.period,
            trim_scale(greatest(2 * b.budget, ceil(b.spent + held + wanted))) -- the budget may have been lowered
        );
    else
        until := t + interval '5 seconds';
        reason := reason || 'asked again in seconds';
    end if;
end
$$;

-- Holds up to `wanted` USD for an attempt, if the budgets of its site and of the fleet have room.
-- Takes  the fence of the attempt; wanted; t: the time to judge by (tests set it).
-- Gives  no row if the claim is lost; else one: affordable; if not: scope, 'site' (it is paused until there may be
--        room) or 'fleet' (paid claims stop until there may be room); reason; newly: this attempt paused or stopped it,
--        also when it asks again because an answer was lost.
-- Locks  the job; then, where there are budgets, the turn of the site and that of the fleet, in this order,
--        so that attempts hold one by one and each sees what those before it hold. A row of a site that
--        another transaction has locked is left as it is: no claim takes from it either.
--
-- Volatile on purpose: what is read after the locks are acquired must be newer than the snapshot of the statement. A
-- pause is written only if the budgets are still those that were checked: one that was raised meanwhile must not be
-- missed.
-- Locks the job even without budgets: that commit waits for the disk, and stores the claim, before the first paid call.
create function hold_budget(job bigint, the_attempt integer, holder uuid, wanted numeric, t timestamptz)
returns table (affordable boolean, scope text, reason text, newly boolean) language plpgsql volatile as $$
declare
    j record;
    s record;
    f fleet_budget;
    used record;
    verdict record;
    asker text := format('%s/%s', job, the_attempt);
begin
    select g.instance_id, g.held_for into j
    from blog_generations as g
    where is_attempt(g, job, the_attempt, holder)
    for no key update;
    if not found then
        return;
    end if;
    affordable := true;
    select o.budget_day_usd, o.budget_month_usd into s from sites as o where o.instance_id = j.instance_id;
    select * into f from fleet_budget;
    if
        j.held_for = the_attempt -- asked again because an answer was lost
        or coalesce(s.budget_day_usd, s.budget_month_usd, f.day_usd, f.month_usd) is null
    then
        return next;
        return;
    end if;
    affordable := false;
    if coalesce(s.budget_day_usd, s.budget_month_usd) is not null then
        perform take_turn('budget', j.instance_id);
        select * into used from spent_usd(j.instance_id, t);
        select * into verdict
        from over_budget(
            'its', format('blogworker sites set %s --budget-', shell_word(j.instance_id)),
            s.budget_day_usd, s.budget_month_usd, used.on_day, used.in_month,
            sum_held_usd(j.instance_id, job), wanted, t
        );
        if verdict.reason is not null then
            scope := 'site';
            reason := verdict.reason;
            perform from sites as o where o.instance_id = j.instance_id for no key update skip locked;
            if found then
                update sites as o
                set paused_at = t, pause_reason = verdict.reason, resume_at = verdict.until, paused_for = asker
                where
                    o.instance_id = j.instance_id
                    and o.paused_at is null
                    and (o.budget_day_usd, o.budget_month_usd)
                    is not distinct from (s.budget_day_usd, s.budget_month_usd);
            end if;
            newly := exists (select from sites as o where o.instance_id = j.instance_id and o.paused_for = asker);
            return next;
            return;
        end if;
    end if;
    if coalesce(f.day_usd, f.month_usd) is not null then
        perform take_turn('fleet budget', null);
        select * into used from spent_usd(null, t);
        select * into verdict
        from over_budget(
            'the fleet''s', 'blogworker costs budget --', f.day_usd, f.month_usd, used.on_day, used.in_month,
            sum_held_usd(null, job), wanted, t
        );
        if verdict.reason is not null then
            scope := 'fleet';
            reason := verdict.reason;
            perform from fleet_budget for no key update skip locked;
            if found then
                update fleet_budget as o
                set stopped_until = verdict.until, stop_reason = verdict.reason, stopped_for = asker
                where
                    (o.stopped_until is null or o.stopped_until <= t)
                    and (o.day_usd, o.month_usd) is not distinct from (f.day_usd, f.month_usd);
            end if;
            newly := exists (select from fleet_budget as o where o.stopped_for = asker);
            return next;
            return;
        end if;
    end if;
    update blog_generations as g set held_usd = wanted, held_for = the_attempt where g.id = job;
    affordable := true;
    return next;
end
$$;

-- Figures ------------------------------------------------------------------------------------------------------------

-- The current month, in UTC. The rate is that of the last seven days, or of as many as have spend (a quarter of a day
-- at least, so that a first hour does not make a month); it is projected over the rest of the month.
create function spending_at(t timestamptz) returns table (
    spent_today_usd numeric, spent_month_usd numeric, budget_day_usd numeric, budget_month_usd numeric,
    left_today_usd numeric, left_month_usd numeric, a_day_usd numeric, days_left numeric, projected_month_usd numeric,
    held_usd numeric, stopped_until timestamptz, stop_reason text
) language sql stable as $$
    select
        s.on_day,
        s.in_month,
        b.day_usd,
        b.month_usd,
        case when b.day_usd is not null then greatest(b.day_usd - s.on_day, 0) end, -- null: there is no budget
        case when b.month_usd is not null then greatest(b.month_usd - s.in_month, 0) end,
        round(r.a_day, 6),
        round(d.days_left, 3),
        round(s.in_month + r.a_day * d.days_left, 6),
        sum_held_usd(null, 0),
        case when b.stopped_until > t then b.stopped_until end,
        case when b.stopped_until > t then b.stop_reason end
    from fleet_budget as b
    cross join spent_usd(null, t) as s
    cross join lateral (
        select
            extract(epoch from date_trunc('month', t at time zone 'UTC') + interval '1 month' - (t at time zone 'UTC'))
            / 86400 as days_left
    ) as d
    cross join lateral (
        select
            coalesce(
                sum(f.cost_usd)
                / greatest(0.25, extract(epoch from t - (min(f.day)::timestamp at time zone 'UTC')) / 86400),
                0
            ) as a_day
        from fleet_spend as f
        where f.day between utc_day(t) - 6 and utc_day(t)
    ) as r
$$;

-- The same now, with the posts that were written and scored.
create view spending as
select
    s.*,
    p.posts as posts_month, -- that were written and scored in this month
    p.score as score_month -- on average; null: there are none
from spending_at(now()) as s
cross join lateral (
    select coalesce(sum(f.posts), 0)::bigint as posts, round(sum(f.score_sum) / nullif(sum(f.posts), 0), 1) as score
    from fleet_spend as f
    where f.day between date_trunc('month', utc_day(now()))::date and utc_day(now())
) as p;
