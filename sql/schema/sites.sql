-- Sites: who is served, with which share and limits, and the line in which they take turns.
--
-- Service is start-time fair queueing (Goyal, Vin and Cheng 1996): each claim serves the sites with the lowest
-- virtual_time and adds the cost of their jobs divided by their weight. queue/claim.sql is the scheduler; this file
-- holds its state.

-- What a site gets unless it has a value of its own; null: no limit. plans.sql copies the values to the sites.
create table plans (
    name text primary key check (name <> '' and length(name) <= 100),
    weight real not null default 1 check (weight between 0.001 and 1000),
    priority smallint not null default 0 check (priority between 0 and 20), -- turns, see service_floor
    max_in_flight integer check (max_in_flight > 0),
    max_pending integer check (max_pending > 0),
    budget_day_usd numeric(14, 6) check (budget_day_usd >= 0 and budget_day_usd < 1e8), -- of each site
    budget_month_usd numeric(14, 6) check (budget_month_usd >= 0 and budget_month_usd < 1e8),
    quota_share real check (quota_share > 0 and quota_share <= 1), -- of the shared quotas, for each site at most
    changed_at timestamptz not null default now(),

    constraint times_are_date_times check (
        changed_at between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    )
);

insert into plans (name, weight, priority) values ('standard', 1, 0), ('premium', 3, 5);

create table sites (
    instance_id text primary key check (instance_id <> '' and length(instance_id) <= 200),
    name text,
    plan text not null default 'standard',
    settings jsonb not null default '{}' check (jsonb_typeof(settings) = 'object'),
    created_at timestamptz not null default now(),

    -- Share and limits in force. They follow from the plan and the site's own values, see sites_apply_plan.
    priority smallint not null default 0 check (priority between 0 and 20), -- turns, see service_floor
    weight real not null default 1 check (weight > 0 and weight <= 1000), -- share of service
    max_in_flight integer check (max_in_flight > 0), -- null: no cap
    max_pending integer check (max_pending > 0), -- null: only the limit of the queue
    budget_day_usd numeric(14, 6) check (budget_day_usd >= 0), -- null: no limit
    budget_month_usd numeric(14, 6) check (budget_month_usd >= 0),

    -- The site's own values. Null: its plan's.
    own_weight real,
    own_priority smallint,
    own_max_in_flight integer,
    own_max_pending integer,
    own_budget_day_usd numeric(14, 6),
    own_budget_month_usd numeric(14, 6),
    own_quota_share real check (own_quota_share > 0 and own_quota_share <= 1),
    share_cap integer check (share_cap > 0), -- jobs that use up its share of the quotas, see follow_plans

    -- Pause.
    paused_at timestamptz,
    pause_reason text,
    resume_at timestamptz, -- when the pause ends by itself; null: a person ends it
    paused_for text, -- the job/attempt whose reservation last paused the site for lack of budget

    -- Place in the line.
    ready boolean not null default false, -- may have PENDING jobs; false: it has none, or an arrival announces them
    ready_at timestamptz,
    at_cap boolean not null default false, -- ready, but as many of its jobs run as may
    capped_until timestamptz, -- a site at its cap is checked again then; null: only when one of its jobs ends
    virtual_time double precision not null default 0, -- service received, in standard posts per unit of weight
    -- The same for claims of later stages alone, for each stage from 1 to 4 by the clock of that stage (stage_clocks).
    stage_times double precision[],
    -- A moving average of what one job of the site costs, in standard posts. Bounded, so that one odd job neither
    -- starves its site nor frees it.
    turn_cost real not null default 1 check (turn_cost between 0.1 and 100),

    constraint texts_are_bounded check (
        length(name) <= 500 and length(plan) <= 100 and length(pause_reason) <= 10000 and length(paused_for) <= 100
    ),
    constraint settings_are_at_most_64_kb check (octet_length(settings::text) <= 65536),
    constraint settings_are_readable check (
        not jsonb_path_exists(settings, 'strict $.**{33 to last}')
        and not jsonb_path_exists(settings, 'strict $.** ? (@ > 1e308 || @ < -1e308)')
    ),
    constraint weight_is_at_least_a_thousandth check (weight >= 0.001),
    constraint virtual_time_can_be_added_to check (virtual_time between 0 and 1e15),
    constraint stage_times_are_four_times check (
        cardinality(stage_times) = 4 and 0 <= all (stage_times) and 1e15 >= all (stage_times)
    ),
    constraint budgets_are_bounded check (budget_day_usd < 1e8 and budget_month_usd < 1e8),
    constraint times_are_date_times check (
        least(paused_at, created_at, ready_at, resume_at, capped_until) >= '0001-01-01 00:00:00+00'
        and greatest(paused_at, created_at, ready_at, resume_at, capped_until) <= '9999-12-31 23:59:59.999999+00'
    )
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 200);

-- claim.sql reads the line from its head; of equal virtual times the site that became ready last comes first.
create index sites_in_line_idx on sites (virtual_time, ready_at desc) where ready and not at_cap and paused_at is null;
create index sites_virtual_time_idx on sites (virtual_time); -- service_floor
create index sites_at_cap_idx on sites (capped_until, instance_id) where at_cap; -- admit_sites.sql, reopen_sites.sql
create index sites_at_cap_time_idx on sites (virtual_time) where at_cap; -- service_floor
create index sites_resume_idx on sites (resume_at) where resume_at is not null; -- check_budgets.sql

create index sites_own_share_idx on sites (instance_id) where own_quota_share is not null; -- follow_plans

-- Sites that received work, or whose jobs ended. Producers and settles only append here, so that two of them never
-- wait for each other's row of a site, however long their transactions stay open. admit_sites.sql empties it.
create table site_arrivals (
    id bigint generated always as identity primary key,
    instance_id text not null,
    announced_at timestamptz not null default clock_timestamp(),
    notified boolean not null, -- workers were woken for it

    constraint texts_are_bounded check (length(instance_id) <= 200),
    constraint times_are_date_times check (
        announced_at between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    )
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

create index site_arrivals_notified_idx on site_arrivals (announced_at) where notified; -- announce_sites

-- The difference between what ended attempts used and what their site was charged for them; negative: they used less.
-- Settles only append, one row for each site; reconcile_sites.sql applies the bills to virtual_time and deletes them.
create table site_bills (
    id bigint generated always as identity primary key,
    instance_id text not null,
    correction real not null, -- of the virtual time, before it is divided by the weight
    blogs integer not null default 0 check (blogs >= 0), -- how many of the jobs are DONE and had a cost
    blogs_cost real not null default 0, -- what these cost together, in all their attempts, for turn_cost

    constraint texts_are_bounded check (length(instance_id) <= 200),
    constraint costs_are_bounded check (
        correction between -1000000 and 1000000 and blogs_cost between 0 and 100000000
    )
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Tokens of a job that costs one turn: the estimates of the two calls that write it.
create function standard_blog_tokens() returns double precision language sql immutable as 'select 6000.0::float8';

-- Wakes idle workers. Postgres delivers equal notifications of one transaction once.
-- Whether claims serve the site: it has ready jobs, is below its cap, and is not paused. The planner inlines it, so it
-- matches the predicate of sites_in_line_idx.
create function is_in_line(s sites) returns boolean language sql immutable parallel safe as $$
    select s.ready and not s.at_cap and s.paused_at is null
$$;

create function wake_workers() returns void language sql volatile as $$
    select pg_notify('blogworker_jobs', '')
$$;

-- The virtual time at which a site without priority joins the line: the lowest one in line; if no site is in line, the
-- highest of the sites at their cap; else the highest of all. So the site is served next, but earns no credit while it
-- is idle.
--
-- A site with a priority joins that many turns before it, but never before its own virtual_time. So the priority
-- changes who is served first, and not how much: borrowed virtual time (Duda and Cheriton 1999). A site in line counts
-- with its priority added. Otherwise each of many sites with a priority would join before the one that joined last. Of
-- the line, only the first 50 sites are read: the value is too high by at most one priority if all of them have one.
--
-- Bounded far below the constraint on virtual_time: one site set to that bound by hand would lift all others to it.
create function service_floor() returns double precision language sql stable as $$
    select least(1e12, coalesce(
        (
            select min(h.virtual_time + h.priority)
            from (
                select s.virtual_time, s.priority
                from sites as s
                where is_in_line(s)
                order by s.virtual_time, s.ready_at desc
                limit 50
            ) as h
        ),
        (select s.virtual_time from sites as s where s.at_cap order by s.virtual_time desc limit 1),
        (select max(s.virtual_time) from sites as s),
        0
    ))
$$;

-- Counts the sites in line, up to the limit.
create function sites_in_line(up_to bigint) returns bigint language sql stable as $$
    select count(*)
    from (select from sites as s where is_in_line(s) limit up_to) as line
$$;

-- Counts the sites with waiting jobs, up to the limit: those in line and those at their cap.
create function waiting_sites(up_to bigint) returns bigint language sql stable as $$
    select
        sites_in_line(up_to)
        + (select count(*) from (select from sites as s where s.at_cap and s.ready limit up_to) as capped)
$$;

-- A site whose pause ends or whose cap changes joins the line like a new one -----------------------------------------

-- Keeps the floor for sites_rejoin. Computed once per statement: per row, its index scan would step over each row
-- version that the same statement has written so far.
create function sites_note_floor() returns trigger language plpgsql as $$
begin
    perform set_config('blogworker.service_floor', service_floor()::text, true);
    return null;
end
$$;

-- The columns with which `budgeted` and `apply_plan_of_update` may change the pause or the cap.
create trigger note_floor before update of
    paused_at, resume_at, plan, weight, priority, max_in_flight, max_pending, budget_day_usd, budget_month_usd,
    own_weight, own_priority, own_max_in_flight, own_max_pending, own_budget_day_usd, own_budget_month_usd,
    own_quota_share, share_cap
on sites
for each statement execute function sites_note_floor();

-- Clears at_cap, because jobs that end before this transaction commits may not see the new cap; the next claim counts
-- again. Moves an unpaused site up to the floor and wakes the workers.
create function sites_rejoin() returns trigger language plpgsql as $$
begin
    new.at_cap := false; -- the next claim counts again
    if new.paused_at is null then
        new.pause_reason := null;
        new.virtual_time := greatest(
            new.virtual_time, current_setting('blogworker.service_floor')::double precision - new.priority
        );
        perform wake_workers();
    end if;
    return new;
end
$$;

create trigger rejoin before update on sites
for each row when (
    old.paused_at is distinct from new.paused_at or old.max_in_flight is distinct from new.max_in_flight
) execute function sites_rejoin();

-- Pauses for lack of budget. A change of the pause by a person makes it the person's pause, which does not end by
-- itself. A change of the budget ends the pause: the next attempt checks the budget again. Fires before `rejoin`, by
-- its name.
create function sites_budgeted() returns trigger language plpgsql as $$
begin
    if new.paused_at is null then
        new.resume_at := null;
    elsif old.resume_at is not null and new.resume_at is not distinct from old.resume_at then
        if new.paused_at is distinct from old.paused_at then
            new.resume_at := null;
        elsif (new.budget_day_usd, new.budget_month_usd) is distinct from (old.budget_day_usd, old.budget_month_usd) then
            new.paused_at := null;
            new.resume_at := null;
        end if;
    end if;
    return new;
end
$$;

create trigger budgeted before update on sites
for each row when (
    old.resume_at is not null or new.resume_at is not null
) execute function sites_budgeted();
