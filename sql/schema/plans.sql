-- Plans: which values a site has from its plan, and which are its own.
--
-- The values in force are columns of sites (weight, priority, max_in_flight, max_pending, budgets), so that a claim
-- reads no other table. Each is the site's own value, else its plan's. These triggers keep them so.

create trigger replace_seeded_row before insert on plans
for each row when (restoring()) execute function replace_seeded_row('name');

-- Sets the values in force. A value that is written to one of these columns becomes the site's own; null: the plan's.
-- In an insert, a weight of 1 and a priority of 0 are the defaults of the columns and not own values.
-- Raises 23503 for a plan that does not exist.
-- Locks  the plan, as a foreign key would. There is no foreign key, because the table that it refers to could not be
--        truncated, which a restore without triggers needs.
create function sites_apply_plan() returns trigger language plpgsql as $$
declare
    p plans;
begin
    if tg_op = 'INSERT' then
        new.own_weight := coalesce(new.own_weight, nullif(new.weight, 1));
        new.own_priority := coalesce(new.own_priority, nullif(new.priority, 0));
        new.own_max_in_flight := coalesce(new.own_max_in_flight, new.max_in_flight);
        new.own_max_pending := coalesce(new.own_max_pending, new.max_pending);
        new.own_budget_day_usd := coalesce(new.own_budget_day_usd, new.budget_day_usd);
        new.own_budget_month_usd := coalesce(new.own_budget_month_usd, new.budget_month_usd);
    else
        new.own_weight := case when new.weight is distinct from old.weight then new.weight else new.own_weight end;
        new.own_priority := case
            when new.priority is distinct from old.priority then new.priority else new.own_priority
        end;
        new.own_max_in_flight := case
            when new.max_in_flight is distinct from old.max_in_flight then new.max_in_flight else new.own_max_in_flight
        end;
        new.own_max_pending := case
            when new.max_pending is distinct from old.max_pending then new.max_pending else new.own_max_pending
        end;
        new.own_budget_day_usd := case
            when new.budget_day_usd is distinct from old.budget_day_usd then new.budget_day_usd
            else new.own_budget_day_usd
        end;
        new.own_budget_month_usd := case
            when new.budget_month_usd is distinct from old.budget_month_usd then new.budget_month_usd
            else new.own_budget_month_usd
        end;
    end if;
    select * into p from plans as o where o.name = new.plan for key share;
    if not found then
        raise exception 'there is no plan %', coalesce(new.plan, 'null')
        using errcode = 'foreign_key_violation', hint = 'See `blogworker plans list`.';
    end if;
    new.weight := coalesce(new.own_weight, p.weight);
    if tg_op = 'UPDATE' and new.weight <> old.weight then
        new.stage_times := null; -- they are in units of the old weight
    end if;
    new.priority := coalesce(new.own_priority, p.priority);
    new.max_pending := coalesce(new.own_max_pending, p.max_pending);
    new.budget_day_usd := coalesce(new.own_budget_day_usd, p.budget_day_usd);
    new.budget_month_usd := coalesce(new.own_budget_month_usd, p.budget_month_usd);
    if coalesce(new.own_quota_share, p.quota_share) is null then
        new.share_cap := null;
    end if;
    new.max_in_flight := least(coalesce(new.own_max_in_flight, p.max_in_flight), new.share_cap);
    return new;
end
$$;

-- Its name comes first in the alphabet, so `budgeted` and `rejoin` see the values in force. The condition is
-- restoring(), written out because a role that inserts may lack EXECUTE on our functions.
create trigger apply_plan before insert on sites
for each row when (
    current_setting('check_function_bodies') <> 'off' or not has_table_privilege('blog_generations'::regclass, 'TRIGGER')
) execute function sites_apply_plan();

create trigger apply_plan_of_update before update of
    plan, weight, priority, max_in_flight, max_pending, budget_day_usd, budget_month_usd, own_weight, own_priority,
    own_max_in_flight, own_max_pending, own_budget_day_usd, own_budget_month_usd, own_quota_share, share_cap
on sites
for each row execute function sites_apply_plan();

-- Applies a changed plan to its sites.
-- Locks  all sites of the plan until the end of the transaction; claims skip them meanwhile.
create function plans_apply() returns trigger language plpgsql as $$
begin
    update sites as s set plan = s.plan where s.plan = new.name;
    return null;
end
$$;

create trigger apply after update on plans
for each row when (old.* is distinct from new.*) execute function plans_apply();

create function plans_note_change() returns trigger language plpgsql as $$
begin
    new.changed_at := now();
    return new;
end
$$;

create trigger note_change before update on plans for each row execute function plans_note_change();

-- A plan that sites have keeps its name, and so does `standard`, which new sites get.
-- Raises 23503.
create function plans_guard_removal() returns trigger language plpgsql as $$
begin
    if old.name = 'standard' or exists (select from sites as s where s.plan = old.name) then
        raise exception 'plan % is in use', old.name
        using errcode = 'foreign_key_violation', hint = 'Give its sites another plan first; standard always stays.';
    end if;
    return case tg_op when 'DELETE' then old else new end;
end
$$;

create trigger guard_removal before delete on plans
for each row when (not restoring()) execute function plans_guard_removal();

create trigger guard_renaming before update on plans
for each row when (old.name <> new.name) execute function plans_guard_removal();

-- Applies what a change of a plan could not: to sites that a transaction was inserting meanwhile; and shares of the
-- quotas. A share limits how many jobs of a site run: as many as use up that part of what the quotas let through
-- (Little's law). Durations and quotas change all the time, so a limit is kept while it is off by a fifth or less, and
-- while no worker is alive.
-- Gives  how many sites changed.
-- Locks  those sites, skipping the ones that other transactions have locked.
-- Plan   Workers call it once a minute. If there is a share, or a plan has changed within an hour, it scans the sites:
--        100,000 take 100 to 200 ms on two busy cores.
create function follow_plans() returns integer language plpgsql volatile as $$
begin
    if not exists (
        select from plans as p where p.quota_share is not null or p.changed_at > now() - interval '1 hour'
    ) and not exists (select from sites as s where s.own_quota_share is not null) then
        return 0;
    end if;
    return (select count(*) from follow_plans_now());
end
$$;

create function follow_plans_now() returns setof text language sql volatile as $$
    with pace as materialized (
        select n.blog_s * min(1 / nullif(f.blog_s, 0)) as jobs -- in progress while the narrowest quota is used up
        from fleet_needs() as n
        cross join lateral bucket_needs(n.buckets, n.tokens, clock_timestamp()) as f
        group by n.blog_s
    ),

    wanted as materialized (
        select
            s.instance_id,
            case
                when h.share is null or c.jobs is null or s.share_cap between c.jobs * 0.8 and c.jobs * 1.2
                    then s.share_cap
                else c.jobs
            end as share_cap
        from sites as s
        join plans as p on p.name = s.plan
        cross join lateral (select coalesce(s.own_quota_share, p.quota_share) as share) as h
        left join lateral (
            select greatest(1, least(1000000, round(h.share * o.jobs)))::integer as jobs from pace as o
        ) as c on true
        where
            (
                h.share is not null
                and c.jobs is not null
                and (s.share_cap is null or s.share_cap not between c.jobs * 0.8 and c.jobs * 1.2)
            )
            or (
                p.changed_at > now() - interval '1 hour'
                and (s.weight, s.priority, s.max_pending, s.budget_day_usd, s.budget_month_usd, s.max_in_flight)
                is distinct from (
                    coalesce(s.own_weight, p.weight),
                    coalesce(s.own_priority, p.priority),
                    coalesce(s.own_max_pending, p.max_pending),
                    coalesce(s.own_budget_day_usd, p.budget_day_usd),
                    coalesce(s.own_budget_month_usd, p.budget_month_usd),
                    least(
                        coalesce(s.own_max_in_flight, p.max_in_flight), case when h.share is not null then s.share_cap end
                    )
                )
            )
        for no key update of s skip locked
    ),

    followed as (
        update sites as s
        set share_cap = w.share_cap
        from wanted as w
        where s.instance_id = w.instance_id
        returning s.instance_id
    )

    select f.instance_id from followed as f
$$;
