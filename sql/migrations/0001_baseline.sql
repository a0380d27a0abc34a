-- The baseline: the files of sql/schema, joined by `make baseline`. Edit those, not this file: see sql/README.md.

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

-- The queue: jobs to make, and the rules for every write, also from psql.
--
--   SCHEDULED --promote--> PENDING --claim--> PROCESSING --settle--> DONE | FAILED | CANCELLED
--       ^------ run_at put off, publish later -------'  '--retry, release, rescue--> PENDING
--   FAILED | CANCELLED --retry by a person--> PENDING | SCHEDULED
--   A waiting or FAILED job may be CANCELLED; a waiting one may be put off, or marked FAILED.
--
-- SQLSTATEs of our own: BW404 no such quota; BW409 a transition that the drawing does not have; BW503 the queue is
-- full.
--
-- Bounds. A time of 'infinity', a number of 5,000 digits or JSON nested 2,000 deep in one row would make every claim
-- fail: Python reads no integer of more than 4,300 digits and no JSON nested a thousand deep, and many programs no
-- number beyond a double and no time outside the years 1 to 9999. Check constraints hold for psql, COPY and
-- replication alike. Each bound lies beyond what our statements write: they cut texts and clamp sums first. The
-- expressions are written out, because each statement that writes would parse the body of an SQL function again,
-- which costs more than the checks.

-- The checks of source_data belong to its type, so they run when it is written, and not again with each move of a job.
create domain source_document as jsonb
    constraint source_data_is_an_object check (jsonb_typeof(value) = 'object')
    constraint source_data_is_at_most_64_kb check (octet_length(value::text) <= 65536)
    constraint source_data_is_readable check (
        not jsonb_path_exists(value, 'strict $.**{33 to last}')
        and not jsonb_path_exists(value, 'strict $.** ? (@ > 1e308 || @ < -1e308)')
    );

create table blog_generations (
    id bigint generated always as identity primary key,
    instance_id text not null references sites,
    idempotency_key text check (idempotency_key <> '' and length(idempotency_key) <= 200),
    source_type text not null check (source_type in ('keyword', 'product', 'text')),
    source_id text check (length(source_id) <= 500),
    source_data source_document not null default '{}',
    publish_mode text, -- null: as the settings of its site say
    -- Who added it: the login at the database; before that the person or the token that its program named, if any:
    -- `alice@host as shop`.
    added_by text not null default session_user check (length(added_by) between 1 and 300),

    -- State.
    status text not null default 'PENDING'
        check (status in ('SCHEDULED', 'PENDING', 'PROCESSING', 'DONE', 'FAILED', 'CANCELLED')),
    stage text not null default 'source' check (stage in ('source', 'ideas', 'content', 'image', 'publish')),
    -- The number of its next stage while the job may be claimed, -1 for a suspect. Null: it is not PENDING, or it backs
    -- off until run_at (a retry, or a provider named a wait). SCHEDULED is only what its owner put off.
    line smallint,
    priority smallint not null default 0,
    run_at timestamptz not null default now(),
    error text,
    cancel_requested_at timestamptz, -- a person cancelled it while it ran; its worker stops within one extension
    retry_from text check (retry_from in ('source', 'ideas', 'content', 'image')), -- the next retry starts there

    -- The attempt in progress.
    worker_id uuid,
    attempt integer not null default 0 check (attempt >= 0), -- claims so far: the fencing token, never decreases
    charged real, -- the turn cost that its site was charged for this attempt
    held_usd numeric, -- the most that the attempt in held_for is expected to cost
    held_for integer,

    -- Attempts so far.
    failures integer not null default 0 check (failures >= 0), -- attempts that count against max_attempts
    max_attempts integer not null default 5 check (max_attempts > 0),
    rescues integer not null default 0 check (rescues >= 0), -- workers that died since its last finished stage
    lone_rescues integer not null default 0 check (lone_rescues >= 0), -- of these, deaths with no other explanation

    created_at timestamptz not null default now(),
    claimed_at timestamptz,
    finished_at timestamptz,

    constraint held_exactly_while_processing check ((status = 'PROCESSING') = (worker_id is not null)),
    constraint finished_exactly_when_ended check (
        (status in ('DONE', 'FAILED', 'CANCELLED')) = (finished_at is not null)
    ),
    constraint id_is_positive check (id > 0),
    constraint publish_mode_is_known check (publish_mode in ('publish', 'draft')),
    constraint line_is_a_stage_number check (line between -1 and 4),
    constraint counters_can_be_incremented check (
        attempt <= 2000000000 and failures <= 1000000000 and rescues <= 1000000000 and lone_rescues <= 1000000000
    ),
    constraint error_is_at_most_10000_characters check (length(error) <= 10000),
    constraint costs_are_bounded check (
        held_usd between 0 and 1000000 and charged between 0 and 1000
    ),
    constraint run_at_is_a_date_time check (
        run_at between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    ),
    constraint times_are_date_times check (
        least(created_at, claimed_at, finished_at, cancel_requested_at) >= '0001-01-01 00:00:00+00'
        and greatest(created_at, claimed_at, finished_at, cancel_requested_at) <= '9999-12-31 23:59:59.999999+00'
    )
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

-- What a job is about has at least one visible character. blogworker/printable.py has the same list of invisible
-- ones, and explains them.
do $do$
declare
    visible text := '[^' || concat(
        ' \u0001-\u001f\u007f-\u00a0\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u1680\u17b4\u17b5',
        '\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ue000-\uf8ff\ufdd0-\ufdef\ufe00-\ufe0f\ufeff',
        '\uffa0\ufff0-\ufffb\ufffe\uffff\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3',
        '\U0001d173-\U0001d17a\U000e0000-\U000e0fff\U000f0000-\U0010ffff'
    ) || ']';
begin
    execute format(
        $sql$
            alter table blog_generations
                add constraint keyword_is_given check (
                    source_type <> 'keyword' or coalesce(source_data ->> 'keyword', source_id, '') ~ %1$L
                ),
                add constraint product_is_named check (
                    source_type <> 'product' or coalesce(source_data ->> 'name', source_id, '') ~ %1$L
                ),
                add constraint text_is_given check (source_type <> 'text' or coalesce(source_data ->> 'text', '') ~ %1$L)
        $sql$,
        visible
    );
end
$do$;

-- An entry for each key only: most moves of a job write an entry into each index that its row is in.
create unique index blog_generations_idempotency_key on blog_generations (instance_id, idempotency_key)
    where idempotency_key is not null;
-- claim.sql, and every count of waiting jobs.
create index blog_generations_pending_idx on blog_generations (instance_id, line desc, priority desc, id)
    where status = 'PENDING';
-- claim.sql: the sites with jobs that have begun.
create index blog_generations_part_done_idx on blog_generations (instance_id, line)
    where status = 'PENDING' and line > 0;
-- stage_rooms: jobs that have begun and are not published yet.
create index blog_generations_unmade_idx on blog_generations (line)
    where status = 'PENDING' and line between 1 and 3;
-- promote.sql.
create index blog_generations_resting_idx on blog_generations (run_at)
    where status = 'PENDING' and line is null;
create index blog_generations_scheduled_idx on blog_generations (run_at) where status = 'SCHEDULED';
-- claim_suspect.sql.
create index blog_generations_suspects_idx on blog_generations (run_at)
    where status = 'PENDING' and line = -1;
-- rescue.sql.
create index blog_generations_held_idx on blog_generations (worker_id) where status = 'PROCESSING';
-- site_in_flight.
create index blog_generations_in_flight_idx on blog_generations (instance_id) where status = 'PROCESSING';
-- The rate of finished jobs, prune, "what failed today".
create index blog_generations_finished_idx on blog_generations (finished_at) where finished_at is not null;
-- The jobs of one site, newest first.
create index blog_generations_site_idx on blog_generations (instance_id, id desc);

-- Counts and order ---------------------------------------------------------------------------------------------------

-- Which PENDING jobs a claim takes: is_claimable, by claim.sql, and of these is_started has finished a stage; or
-- is_suspect, by claim_suspect.sql. No other job may be claimed. The three are inlined, so that a scan uses a partial
-- index: tests/queue/test_plans.py shows that.
create function is_claimable(g blog_generations) returns boolean language sql immutable parallel safe as $$
    select g.status = 'PENDING' and g.line >= 0
$$;

create function is_started(g blog_generations) returns boolean language sql immutable parallel safe as $$
    select g.status = 'PENDING' and g.line > 0
$$;

create function is_suspect(g blog_generations) returns boolean language sql immutable parallel safe as $$
    select g.status = 'PENDING' and g.line = -1
$$;

-- The next two are volatile on purpose: in a statement that has locked the site they see what was committed before the
-- lock was acquired, which the snapshot of the statement may not.
create function site_in_flight(site text) returns bigint language plpgsql volatile as $$
begin
    return (select count(*) from blog_generations as g where g.instance_id = site and g.status = 'PROCESSING');
end
$$;

create function site_has_pending(site text) returns boolean language plpgsql volatile as $$
begin
    return exists (
        select from blog_generations as g where g.instance_id = site and is_claimable(g)
    );
end
$$;

-- Counts the PENDING jobs, up to the limit, so that it costs the same whatever the backlog is.
-- Hints  A session that planned this on a small table read first the 60,000 jobs that had ended: 81 ms, 1 ms with the
--        hint.
create function pending_count(up_to bigint) returns bigint language sql stable
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
    select count(*)
    from (select from blog_generations as g where g.status = 'PENDING' limit up_to) as waiting
$$;

-- The number of a stage, from 0. Of the jobs of one site, one at a later stage is served first.
create function stage_number(stage text) returns smallint language sql immutable parallel safe as $$
    select (array_position(array['source', 'ideas', 'content', 'image', 'publish'], stage) - 1)::smallint
$$;

-- The place of a PENDING job in the line of its site. -1: two workers died while they had it and it finished no stage
-- since, so it is suspected of killing them, and runs alone (claim_suspect.sql).
create function line_number(stage text, rescues integer) returns smallint language sql immutable parallel safe as $$
    select case when rescues >= 2 then -1::smallint else stage_number(stage) end
$$;

-- Whether the product of a job is read from the shop of its site before anything is written: it has no name, in any of
-- the spellings that `stages/source.py` reads.
create function needs_shop(g blog_generations) returns boolean language sql immutable as $$
    select g.source_type = 'product' and not jsonb_path_exists(
        g.source_data,
        '$.keyvalue() ? (
            @.key like_regex "^\\s*(name|title|product_name|productname)\\s*$" flag "i"
            && @.value.type() != "null"
            && (@.value.type() != "string" || @.value != "")
        )'
    )
$$;

-- The fence: whether a row is this attempt of this worker, and still in progress. Each statement that ends an
-- attempt, or stores what it did, selects its rows by it; where it selects none, the claim is lost and nothing is
-- written. It is inlined, so that the row is found by its primary key: tests/queue/test_plans.py shows that.
create function is_attempt(g blog_generations, job_id bigint, attempt integer, worker_id uuid) returns boolean
language sql immutable parallel safe as $$
    select g.id = job_id and g.attempt = attempt and g.worker_id = worker_id and g.status = 'PROCESSING'
$$;

-- Announcements ------------------------------------------------------------------------------------------------------

-- Announces sites that received PENDING jobs, and wakes the workers.
-- Takes  the sites; null: none.
-- Locks  the sites for key share, those that can be locked at once: retire_sites.sql then leaves them ready until
--        this transaction commits. A site that another transaction has locked is announced whether it is ready or
--        not, and admit_sites.sql checks it again; waiting for it would hold up every promote and every settle of
--        that site.
--
-- NOTIFY takes a lock that all committing transactions share (8 producers: 2,309 jobs a second with it, 3,611
-- without). So no transaction notifies within 50 ms of a notification that is committed and not handled yet. A worker
-- that was woken keeps looking for a while, and finds the sites announced without one.
-- Hints  A session that planned this for 3 sites and met 20,000 later read all of them: 56 ms a call, 2 ms with the
--        hint.
create function announce_sites(arrived text[]) returns void language plpgsql volatile
set enable_seqscan = off set jit = off as $$
declare
    called boolean;
    kept text[]; -- locked: they stay ready until these jobs are committed
begin
    if arrived is null then
        return;
    end if;
    select array_agg(l.instance_id) into kept
    from (
        select s.instance_id
        from sites as s
        where s.instance_id = any (arrived)
        order by s.instance_id
        for key share skip locked
    ) as l;
    called := not exists (
        select from site_arrivals as a where a.notified and a.announced_at > clock_timestamp() - interval '50 milliseconds'
    );
    insert into site_arrivals (instance_id, notified)
    select s.instance_id, called
    from sites as s
    where s.instance_id = any (arrived) and (not s.ready or s.instance_id not in (select unnest(kept))); -- hashed
    if found and called then
        perform wake_workers();
    end if;
end
$$;

-- Announces sites of which jobs ended, where that may end their cap. admit_sites.sql counts them again: a claim in
-- progress may be about to find one at its cap by a count that still includes the jobs ended here. It locks nothing:
-- locking the sites here, with the jobs locked, could deadlock with an update of many sites.
-- Takes  the sites; null: none.
-- Hints  As announce_sites: 12 ms a call, 2 ms with the hint.
create function reopen_capped_sites(relieved text[]) returns void language plpgsql volatile
set enable_seqscan = off set jit = off as $$
begin
    if relieved is null then
        return;
    end if;
    insert into site_arrivals (instance_id, notified)
    select s.instance_id, true
    from sites as s
    where s.instance_id = any (relieved) and (s.max_in_flight is not null or s.at_cap);
    if found then
        perform wake_workers();
    end if;
end
$$;

-- Restoring a dump ---------------------------------------------------------------------------------------------------

-- Whether this session restores a dump: the scripts of pg_dump, and pg_restore, turn check_function_bodies off, and
-- others have no reason to. The rows of a dump are as triggers left them, and must not be counted, announced or
-- refused again. Any role can change the setting, so it counts only for roles that may create triggers here, such as
-- the owner.
create function restoring() returns boolean language sql stable as $$
    select
        current_setting('check_function_bodies') = 'off'
        and has_table_privilege('blog_generations'::regclass, 'TRIGGER')
$$;

-- Replaces a row that the migrations inserted by the row of a dump. Its argument: the column that identifies the row.
create function replace_seeded_row() returns trigger language plpgsql as $$
begin
    execute format('delete from %I.%I as r where r.%3$I = ($1).%3$I', tg_table_schema, tg_table_name, tg_argv[0])
    using new;
    return new;
end
$$;

-- Turns --------------------------------------------------------------------------------------------------------------

-- Rows that are only locked: transactions that hold the same one follow each other. Advisory locks would do, but any role
-- that may connect can take those: one of a stranger would stop every claim.
create table turns (
    name text primary key
);

insert into turns values ('claims'), ('fleet budget');
insert into turns select format('%s %s', kind, n) from unnest(array['budget', 'titles']) as kind, generate_series(0, 255) as n;

create trigger replace_seeded_row before insert on turns
for each row when (restoring()) execute function replace_seeded_row('name');

-- The clock of each later stage, for claims of later stages alone.
create table stage_clocks (
    line smallint primary key check (line between 1 and 4),
    virtual_time double precision not null default 0, -- when the job that it served last started, as sites.stage_times
    jobs double precision not null default 0, -- jobs that it has served, for taking turns with other stages

    constraint times_can_be_added_to check (virtual_time between 0 and 1e15 and jobs between 0 and 1e15)
) with (fillfactor = 50);

insert into stage_clocks (line) select generate_series(1, 4);

create trigger replace_seeded_row before insert on stage_clocks
for each row when (restoring()) execute function replace_seeded_row('line');

-- Waits for a turn, and keeps it until the transaction ends.
-- Takes  kind; site: null for a turn of the fleet. Sites share 256 turns of each kind.
create function take_turn(kind text, site text) returns void language plpgsql volatile as $$
begin
    perform from turns as t
    where t.name = case when site is null then kind else format('%s %s', kind, hashtext(site) & 255) end
    for no key update;
end
$$;

-- Guards: before each row --------------------------------------------------------------------------------------------
--
-- Triggers fire in the order of their names: guard_attempt_of_insert, guard_columns, guard_insert before an insert;
-- forget_deleted_draft, guard_attempt_of_update, guard_line, guard_reservation, guard_update, release_title before an
-- update. So guard_update sees the status that guard_line sets, and release_title the one that guard_update sets.

-- Sets what a new row starts with, and creates its site.
create function blog_generations_guard_insert() returns trigger language plpgsql as $$
begin
    if new.status in ('PENDING', 'SCHEDULED') then
        new.status := case when new.run_at > now() then 'SCHEDULED' else 'PENDING' end;
    end if;
    new.line := case when new.status = 'PENDING' then line_number(new.stage, new.rescues) end;
    new.held_usd := null; -- written by hold_budget for an attempt in progress
    new.held_for := null;
    new.charged := null;
    if not exists (select from sites as s where s.instance_id = new.instance_id) then -- cheaper than a void insert
        insert into sites (instance_id) values (new.instance_id) on conflict do nothing;
    end if;
    return new;
end
$$;

-- The condition is restoring(), written out because a role that inserts may lack EXECUTE on our functions.
create trigger guard_insert before insert on blog_generations
for each row when (
    current_setting('check_function_bodies') <> 'off' or not has_table_privilege('blog_generations'::regclass, 'TRIGGER')
) execute function blog_generations_guard_insert();

-- Refuses each transition that the drawing on top does not have, and sets the columns that follow from one.
-- Raises  BW409 for a refused transition, or where the claim of a running job is changed.
create function blog_generations_guard_update() returns trigger language plpgsql as $$
declare
    first text; -- the stage from which a retry makes the post again
begin
    if new.attempt < old.attempt then
        raise exception 'attempt of job % cannot go down: it fences old attempts out', old.id using errcode = 'BW409';
    end if;
    if new.status = old.status then
        if new.status = 'PROCESSING' then
            raise exception 'job % is held: its claim cannot be changed, only settled', old.id
            using errcode = 'BW409', hint = 'Set status to PENDING to take it from its worker.';
        end if;
        return new;
    end if;
    if old.status = 'PROCESSING' and old.cancel_requested_at is not null and new.status in ('PENDING', 'SCHEDULED') then
        new.status := 'CANCELLED'; -- the cancellation wins over a retry or a release
        new.error := 'cancelled';
    end if;
    if (old.status, new.status) not in (
        ('SCHEDULED', 'PENDING'), ('SCHEDULED', 'CANCELLED'), ('SCHEDULED', 'FAILED'),
        ('PENDING', 'SCHEDULED'), ('PENDING', 'PROCESSING'), ('PENDING', 'CANCELLED'), ('PENDING', 'FAILED'),
        ('PROCESSING', 'PENDING'), ('PROCESSING', 'SCHEDULED'),
        ('PROCESSING', 'DONE'), ('PROCESSING', 'FAILED'), ('PROCESSING', 'CANCELLED'),
        ('FAILED', 'PENDING'), ('FAILED', 'SCHEDULED'), ('FAILED', 'CANCELLED'),
        ('CANCELLED', 'PENDING'), ('CANCELLED', 'SCHEDULED')
    ) then
        raise exception 'job % cannot go from % to %', old.id, old.status, new.status using errcode = 'BW409';
    end if;
    if new.status in ('FAILED', 'CANCELLED') and old.stage = 'publish' then
        new := spare_published(new, old.status = 'PROCESSING');
    end if;
    if new.status = 'PROCESSING' then
        if new.attempt <> old.attempt + 1 or new.worker_id is null then
            raise exception 'job % can only be claimed: attempt + 1 and a worker', old.id using errcode = 'BW409';
        end if;
        new.claimed_at := now();
    else
        new.worker_id := null;
    end if;
    if new.status in ('DONE', 'FAILED', 'CANCELLED') then
        new.finished_at := coalesce(new.finished_at, now());
    else
        new.finished_at := null;
    end if;
    if old.status in ('FAILED', 'CANCELLED') and new.status in ('PENDING', 'SCHEDULED') then
        new.failures := 0; -- a person's retry: a full set of attempts again
        new.rescues := 0;
        new.lone_rescues := 0;
        new.error := null;
        new.cancel_requested_at := null;
        perform forget_rejected_work(old.id, old.stage);
        first := retry_stage(new, new.retry_from);
        if first is not null then
            perform forget_from(old.id, first);
            if stage_number(first) < stage_number(new.stage) then
                new.stage := first;
            end if;
        elsif new.retry_from is not null then
            raise exception 'job % cannot be made again: its site may have a draft of it', old.id
            using errcode = 'BW409', hint = 'Retry it without retry_from, and it goes on from there.';
        end if;
        new.retry_from := null;
    end if;
    if new.status = 'PENDING' and old.status <> 'PROCESSING' then
        new.run_at := least(new.run_at, now()); -- wanted now; only an attempt that ended may back off first
    end if;
    new.line := case when new.status = 'PENDING' and new.run_at <= now() then line_number(new.stage, new.rescues) end;
    return new;
end
$$;

-- The two moves that each job makes, a claim and the end as DONE, pass without a call where the statement has set every
-- column as the guard would: claim.sql and settle.sql do. The call costs more than the rest of the row.
create trigger guard_update before update on blog_generations
for each row when (
    (
        old.status is distinct from new.status
        or old.attempt is distinct from new.attempt
        or old.worker_id is distinct from new.worker_id
    )
    and (
        new.line is null
        and (
            (
                old.status = 'PENDING'
                and new.status = 'PROCESSING'
                and new.attempt = old.attempt + 1
                and new.worker_id is not null
                and new.claimed_at = now()
                and new.finished_at is null
            )
            or (
                old.status = 'PROCESSING'
                and new.status = 'DONE'
                and new.attempt = old.attempt
                and new.worker_id is null
                and new.finished_at = now()
            )
        )
    ) is not true
) execute function blog_generations_guard_update();

-- A PENDING job whose time or stage changes: its owner puts it off, or its backoff ends.
create function blog_generations_guard_line() returns trigger language plpgsql as $$
begin
    if new.run_at > now() and new.run_at is distinct from old.run_at then
        new.status := 'SCHEDULED';
    end if;
    new.line := case when new.status = 'PENDING' and new.run_at <= now() then line_number(new.stage, new.rescues) end;
    return new;
end
$$;

create trigger guard_line before update on blog_generations
for each row when (
    old.status = 'PENDING'
    and new.status = 'PENDING'
    and (
        old.run_at is distinct from new.run_at
        or old.stage is distinct from new.stage
        or old.line is distinct from new.line
        or old.rescues is distinct from new.rescues
    )
) execute function blog_generations_guard_line();

-- Refuses an attempt that was typed in by hand and leaves less than a billion claims to the bound.
create function blog_generations_guard_attempt() returns trigger language plpgsql as $$
begin
    raise exception 'attempt of job % cannot be set to %: at most 1,000,000,000', new.id, new.attempt
    using errcode = 'check_violation', hint = 'Leave attempt alone: claims count it.';
end
$$;

create trigger guard_attempt_of_insert before insert on blog_generations
for each row when (
    new.attempt > 1000000000
    and (
        current_setting('check_function_bodies') <> 'off'
        or not has_table_privilege('blog_generations'::regclass, 'TRIGGER')
    )
) execute function blog_generations_guard_attempt();

create trigger guard_attempt_of_update before update on blog_generations
for each row when (new.attempt > 1000000000 and new.attempt > old.attempt and new.status <> 'PROCESSING')
execute function blog_generations_guard_attempt();

-- Announcements: after each statement --------------------------------------------------------------------------------

create function blog_generations_after_insert() returns trigger language plpgsql as $$
begin
    perform announce_sites((select array_agg(distinct n.instance_id) from new_rows as n where n.status = 'PENDING'));
    return null;
end
$$;

create trigger after_insert after insert on blog_generations
referencing new table as new_rows
for each statement when (
    current_setting('check_function_bodies') <> 'off' or not has_table_privilege('blog_generations'::regclass, 'TRIGGER')
) execute function blog_generations_after_insert();

-- A person may also move a job to another site.
-- Hints  Planned for single rows, it compared each old row with each new one: cancelling 4,250 jobs took 27 s, 2 s
--        with the hint.
create function blog_generations_after_update() returns trigger language plpgsql
set enable_nestloop = off set jit = off as $$
declare
    arrived text[];
    relieved text[];
    ended bigint[];
begin
    select
        array_agg(distinct n.instance_id) filter (
            where n.line >= 0 and (o.line is null or o.line < 0 or n.instance_id <> o.instance_id)
        ),
        array_agg(distinct o.instance_id) filter (
            where o.status = 'PROCESSING' and (n.status <> o.status or n.instance_id <> o.instance_id)
        ),
        array_agg(n.id) filter (where n.status in ('DONE', 'FAILED') and n.status <> o.status)
    into arrived, relieved, ended
    from new_rows as n
    join old_rows as o using (id)
    where n.status <> o.status or n.line is distinct from o.line or n.instance_id <> o.instance_id;
    perform announce_sites(arrived);
    perform reopen_capped_sites(relieved);
    if ended is not null then
        perform note_ended_jobs(ended);
    end if;
    return null;
end
$$;

create trigger after_update after update on blog_generations
referencing old table as old_rows new table as new_rows
for each statement execute function blog_generations_after_update();

create function blog_generations_after_delete() returns trigger language plpgsql as $$
begin
    perform reopen_capped_sites(
        (select array_agg(distinct o.instance_id) from old_rows as o where o.status = 'PROCESSING')
    );
    return null;
end
$$;

create trigger after_delete after delete on blog_generations
referencing old table as old_rows
for each statement execute function blog_generations_after_delete();

create function blog_generations_after_truncate() returns trigger language plpgsql as $$
begin
    update sites set at_cap = false where at_cap;
    return null;
end
$$;

create trigger after_truncate after truncate on blog_generations
for each statement execute function blog_generations_after_truncate();

-- What the stages leave behind: checkpoints, errors, posts, the times of publishing; and what a retry discards of it.

-- Finished work and effects, one row each: `ideas`, `image.prediction`, `publish.draft` ... Never paid for twice,
-- unless a person asks for it. `content.forgotten` and the like: what discarded work cost.
create table generation_stages (
    generation_id bigint not null references blog_generations on delete cascade,
    stage text not null check (stage ~ '^(source|ideas|content|image|publish)([.][a-z_]+)?$'),
    output jsonb not null,
    made_of bigint, -- of `source`: a hash of its input, see made_of; null: unknown
    attempt integer not null,
    created_at timestamptz not null default clock_timestamp(),
    duration_s real,

    -- What it cost.
    provider text,
    model text,
    prompt_version text,
    requests integer not null default 0 check (requests between 0 and 1000000000), -- paid calls that the sums are of
    tokens_in integer not null default 0,
    tokens_cached integer not null default 0,
    tokens_out integer not null default 0,
    cost_usd numeric(12, 6), -- null: nothing was paid, or the settings have no price for the model
    wasted integer not null default 0 check (wasted between 0 and requests), -- of the requests: not part of the post
    wasted_usd numeric(12, 6) not null default 0 check (wasted_usd between 0 and 999999.999999),

    primary key (generation_id, stage),
    constraint output_is_at_most_4_mb check (octet_length(output::text) <= 4194304),
    constraint output_is_readable check (
        not jsonb_path_exists(output, 'strict $.**{33 to last}')
        and not jsonb_path_exists(output, 'strict $.** ? (@ > 1e308 || @ < -1e308)')
    ),
    constraint texts_are_bounded check (length(model) <= 200 and length(prompt_version) <= 200),
    constraint counts_are_bounded check (
        tokens_in between 0 and 1000000000
        and tokens_cached between 0 and 1000000000
        and tokens_out between 0 and 1000000000
        and cost_usd between 0 and 999999.999999
        and duration_s between -1e9 and 1e9
        and attempt between 0 and 2000000000
    ),
    constraint times_are_date_times check (
        created_at between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    )
);

-- One row for each attempt that failed.
create table generation_errors (
    id bigint generated always as identity primary key,
    generation_id bigint not null references blog_generations on delete cascade,
    attempt integer not null,
    stage text not null,
    kind text not null,
    message text not null,
    provider text,
    status integer, -- HTTP
    code text, -- the provider's own word
    request_id text,
    retryable boolean not null,
    created_at timestamptz not null default now(),

    constraint texts_are_bounded check (
        length(stage) <= 200
        and length(kind) <= 200
        and length(message) <= 10000
        and length(provider) <= 200
        and length(code) <= 500
        and length(request_id) <= 500
    ),
    constraint times_are_date_times check (
        created_at between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    )
);

create index generation_errors_generation_idx on generation_errors (generation_id, id);
create index generation_errors_created_idx on generation_errors (created_at);
create index generation_errors_lost_idx on generation_errors (created_at) where kind = 'LeaseLost'; -- rescue.sql

create table blog_posts (
    generation_id bigint primary key references blog_generations on delete cascade,
    instance_id text not null references sites,
    title text not null,
    slug text not null,
    excerpt text not null,
    markdown text not null,
    html text not null,
    tags text[] not null default '{}',
    seo_title text not null,
    seo_description text not null,
    word_count integer not null,
    image bytea,
    image_type text,
    image_alt text,
    image_prompt text,
    wix_media_id text,
    wix_draft_id text,
    wix_post_id text,
    url text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    published_at timestamptz,
    score smallint, -- null: it was made before posts were scored

    constraint texts_are_bounded check (
        length(title) <= 10000
        and length(slug) <= 10000
        and length(excerpt) <= 10000
        and length(markdown) <= 1000000
        and length(html) <= 1000000
        and cardinality(tags) <= 1000
        and length(seo_title) <= 10000
        and length(seo_description) <= 10000
        and length(image_type) <= 10000
        and length(image_alt) <= 10000
        and length(image_prompt) <= 10000
        and length(wix_media_id) <= 10000
        and length(wix_draft_id) <= 10000
        and length(wix_post_id) <= 10000
        and length(url) <= 10000
    ),
    constraint score_is_from_0_to_100 check (score between 0 and 100),
    constraint image_is_at_most_64_mb check (octet_length(image) <= 67108864),
    constraint times_are_date_times check (
        least(created_at, updated_at, published_at) >= '0001-01-01 00:00:00+00'
        and greatest(created_at, updated_at, published_at) <= '9999-12-31 23:59:59.999999+00'
    )
);

create index blog_posts_site_idx on blog_posts (instance_id, generation_id desc);

-- The tags of the latest posts of a site in their most used spelling, the most used first.
-- Takes  but_for: the job whose own tags are excluded; posts: how many are read.
create function site_tags(site text, but_for bigint, posts integer) returns table (tag text) language sql stable as $$
    select (array_agg(u.tag order by u.uses desc, u.tag))[1]
    from (
        select t.tag, count(*) as uses
        from (
            select p.tags
            from blog_posts as p
            where p.instance_id = site and p.generation_id <> but_for
            order by p.generation_id desc
            limit posts
        ) as p
        cross join lateral unnest(p.tags) as t (tag)
        group by t.tag
    ) as u
    group by lower(u.tag)
    order by sum(u.uses) desc, lower(u.tag)
$$;

-- Posts that are made ahead of time and published at publish_at.
create table scheduled_blogs (
    blog_generation_id bigint primary key references blog_generations on delete cascade,
    publish_at timestamptz not null,
    created_at timestamptz not null default now(),

    constraint publish_at_is_a_date_time check (
        publish_at between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    ),
    constraint times_are_date_times check (
        created_at between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    )
);

-- Products and ideas that may be used again for a while. Unlogged: losing it costs a call, not a job.
create unlogged table cache (
    key text primary key,
    value jsonb not null,
    expires_at timestamptz not null,

    constraint key_is_at_most_2000_characters check (length(key) <= 2000),
    constraint value_is_at_most_4_mb check (octet_length(value::text) <= 4194304),
    constraint value_is_readable check (
        not jsonb_path_exists(value, 'strict $.**{33 to last}')
        and not jsonb_path_exists(value, 'strict $.** ? (@ > 1e308 || @ < -1e308)')
    ),
    constraint times_are_date_times check (
        expires_at between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    )
);

create index cache_expires_idx on cache (expires_at);

-- Reads a cached value, or acquires the lock of its key: only one attempt requests what is missing.
-- Takes  of: the key; job, try: the new owner; ttl_s: seconds until the lock expires; always: acquire it also if there
--        is a value.
-- Gives  value, as of when the lock was acquired: its last owner may have stored one; ours: whether this attempt has
--        the lock, now or already. A lock also ends when the attempt of its owner ends: settled, or rescued from a dead
--        worker.
-- Locks  the row of the lock.
create function begin_single_flight(
    of text, job bigint, try integer, ttl_s double precision, always boolean, out value jsonb, out ours boolean
) language plpgsql volatile as $$
begin
    ours := false;
    if not always then
        select c.value into value from cache as c where c.key = of and c.expires_at > now();
        if found then
            return;
        end if;
    end if;
    insert into cache as c (key, value, expires_at)
    values (
        of || '/lock', jsonb_build_object('job_id', job, 'attempt', try), now() + make_interval(secs => least(1e9, ttl_s))
    )
    on conflict (key) do update
    set value = excluded.value, expires_at = excluded.expires_at
    where
        c.expires_at <= now()
        or c.value = excluded.value
        or exists (
            select from blog_generations as g
            where
                g.id = (c.value ->> 'job_id')::bigint
                -- A statement that began before the owner's claim sees an older attempt: the owner may still run.
                and g.attempt >= (c.value ->> 'attempt')::integer
                and (g.attempt > (c.value ->> 'attempt')::integer or g.status <> 'PROCESSING')
        );
    ours := found;
    select c.value into value from cache as c where c.key = of and c.expires_at > now();
end
$$;

-- A person's retry ---------------------------------------------------------------------------------------------------

-- A hash of everything that a source is made of. Equal numbers have equal hashes, however they are written. The
-- settings left out are not part of the prompts: they are read when they are needed.
create function made_of(source_type text, source_id text, source_data jsonb, settings jsonb)
returns bigint language sql immutable as $$
    select jsonb_hash_extended(
        jsonb_build_array(
            source_type, source_id, source_data,
            jsonb_strip_nulls(settings - array['member_id', 'publish_mode', 'image_trouble', 'review_every'])
        ),
        0
    )
$$;

-- Whether the site may have a draft or a post of the job. A draft that its owner deleted does not count: a retry
-- makes the post again.
create function is_shown(job bigint) returns boolean language sql stable as $$
    select exists (
        select from generation_stages as s
        where
            s.generation_id = job
            and (
                s.stage in ('publish', 'publish.draft', 'publish.asked', 'publish.post')
                or (s.stage = 'publish.intent' and s.output ->> 'refused' is distinct from 'true')
            )
    ) and not exists (
        select from generation_stages as s where s.generation_id = job and s.stage = 'publish.deleted'
    )
$$;

-- Whether the post of the job is on its site.
create function is_published(job bigint) returns boolean language sql stable as $$
    select exists (select from generation_stages as s where s.generation_id = job and s.stage = 'publish.post')
        or exists (select from blog_posts as p where p.generation_id = job and p.wix_post_id is not null)
$$;

-- The stage from which a retry by a person makes a post again: the one asked for, else `source` if its source_data or
-- the settings of its site have changed since.
-- Gives  null: it continues from its last checkpoint.
create function retry_stage(job blog_generations, asked text) returns text language plpgsql stable as $$
begin
    if is_shown(job.id) then
        return null; -- making it again would create a second draft
    end if;
    return coalesce(
        asked,
        (
            select 'source'
            from generation_stages as s
            join sites as o on o.instance_id = job.instance_id
            where
                s.generation_id = job.id
                and s.stage = 'source'
                and s.made_of <> made_of(job.source_type, job.source_id, job.source_data, o.settings)
        )
    );
end
$$;

-- Discards these checkpoints, those of a whole stage by the name of the stage. Their cost stays, as waste: `bill` is
-- what the ledger does not count as waste yet, and the next attempt books it (save_checkpoint.sql), because a
-- transaction of a person may stay open and must not lock rows of the ledger. The titles of discarded ideas stay, so
-- that none of them is chosen again.
create function forget_work(job bigint, names text[]) returns void language plpgsql volatile as $$
declare
    gone text[] := array(
        select s.stage
        from generation_stages as s
        where
            s.generation_id = job
            and (s.stage = any (names) or split_part(s.stage, '.', 1) = any (names))
            and s.stage not like '%.forgotten'
    );
begin
    with forgotten as (
        delete from generation_stages as s where s.generation_id = job and s.stage = any (gone) returning s.*
    )

    insert into generation_stages as s (
        generation_id, stage, output, tokens_in, tokens_cached, tokens_out, cost_usd, attempt, requests, wasted, wasted_usd
    )
    select
        job,
        split_part(f.stage, '.', 1) || '.forgotten',
        jsonb_build_object(
            'titles', coalesce(jsonb_agg(f.output -> 'chosen' -> 'title') filter (where f.stage = 'ideas'), '[]'),
            'bill', coalesce(
                jsonb_agg(
                    jsonb_build_object(
                        'provider', f.provider, 'model', f.model, 'calls', f.requests - f.wasted,
                        'usd', greatest(0, coalesce(f.cost_usd, 0) - f.wasted_usd)
                    )
                ) filter (where f.wasted < f.requests and f.provider is not null and f.model is not null),
                '[]'
            )
        ),
        least(1000000000, sum(f.tokens_in::bigint)), least(1000000000, sum(f.tokens_cached::bigint)),
        least(1000000000, sum(f.tokens_out::bigint)), least(999999, sum(f.cost_usd)), max(f.attempt),
        least(1000000000, sum(f.requests::bigint)), least(1000000000, sum(f.requests::bigint)),
        least(999999, coalesce(sum(f.cost_usd), 0))
    from forgotten as f
    group by split_part(f.stage, '.', 1)
    having sum(f.requests) > 0 or bool_or(f.stage = 'ideas')
    on conflict (generation_id, stage) do update
    set
        output = jsonb_build_object(
            'titles', (s.output -> 'titles') || (excluded.output -> 'titles'),
            'bill', coalesce(s.output -> 'bill', '[]') || (excluded.output -> 'bill')
        ),
        tokens_in = least(1000000000, s.tokens_in::bigint + excluded.tokens_in),
        tokens_cached = least(1000000000, s.tokens_cached::bigint + excluded.tokens_cached),
        tokens_out = least(1000000000, s.tokens_out::bigint + excluded.tokens_out),
        cost_usd = case
            when coalesce(s.cost_usd, excluded.cost_usd) is not null
                then least(999999, coalesce(s.cost_usd, 0) + coalesce(excluded.cost_usd, 0))
        end,
        attempt = excluded.attempt,
        requests = least(1000000000, s.requests::bigint + excluded.requests),
        wasted = least(1000000000, s.wasted::bigint + excluded.wasted),
        wasted_usd = least(999999, s.wasted_usd + excluded.wasted_usd);
end
$$;

-- Discards the work of a stage and of those after it, none of which is on the site. The cover on Wix is of the old
-- picture.
create function forget_from(job bigint, first text) returns void language plpgsql volatile as $$
declare
    stages text[] := array['source', 'ideas', 'content', 'image'];
begin
    perform forget_work(
        job,
        stages[array_position(stages, first):] || array['publish.media', 'publish.intent']
        || case when first <> 'image' then array['publish.tags'] else '{}' end
    );
    update blog_posts as p
    set image = null, image_type = null, image_prompt = null, wix_media_id = null
    where p.generation_id = job;
end
$$;

-- Discards what a stage paid for before the provider refused it for good, so that a retry does not meet it again.
create function forget_rejected_work(job bigint, refused_stage text) returns void language plpgsql volatile as $$
begin
    if refused_stage in ('ideas', 'content', 'image') and (
        select e.kind in ('Rejected', 'Refused', 'Truncated')
        from generation_errors as e
        where e.generation_id = job
        order by e.id desc
        limit 1
    ) then
        perform forget_work(job, array(
            select s.stage from generation_stages as s where s.generation_id = job and s.stage like refused_stage || '.%'
        ));
    end if;
end
$$;

-- Books that work as waste as soon as the job has failed: no retry uses it.
-- Locks  the rows of the ledger in one order, the same as save_checkpoint.sql.
-- Hints  Planned on small tables, it read all jobs and checkpoints, 100,000 of each: 104 ms, 1 ms with the hints.
create function generation_errors_waste() returns trigger language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
declare
    done text;
begin
    if not exists (
        select from new_rows as n where not n.retryable and n.kind in ('Rejected', 'Refused', 'Truncated')
    ) then
        return null;
    end if;
    with known as (
        select
            s.generation_id, s.stage, s.provider, s.model, g.instance_id, s.requests - s.wasted as calls,
            greatest(0, coalesce(s.cost_usd, 0) - s.wasted_usd) as usd
        from new_rows as n
        join blog_generations as g on g.id = n.generation_id
        join generation_stages as s on s.generation_id = n.generation_id
        where
            not n.retryable
            and n.kind in ('Rejected', 'Refused', 'Truncated')
            and n.stage in ('ideas', 'content', 'image')
            and s.stage like n.stage || '.%'
            and s.wasted < s.requests
    ),

    marked as (
        update generation_stages as s
        set wasted = s.requests, wasted_usd = coalesce(s.cost_usd, 0)
        from known as k
        where s.generation_id = k.generation_id and s.stage = k.stage
    )

    select add_usage(array_agg(u.usage))::text into done
    from (
        select
            row(
                date_trunc('hour', now(), 'UTC'), k.provider, k.model, k.instance_id, 0, 0, 0, 0, 0, 0, sum(k.calls),
                sum(k.usd), 0, 0
            )::provider_usage as usage
        from known as k
        where k.provider is not null and k.model is not null
        group by k.provider, k.model, k.instance_id
        order by k.provider, k.model, k.instance_id
    ) as u;
    return null;
end
$$;

create trigger waste after insert on generation_errors
referencing new table as new_rows
for each statement when (
    current_setting('check_function_bodies') <> 'off' or not has_table_privilege('blog_generations'::regclass, 'TRIGGER')
) execute function generation_errors_waste();

-- Posts that are on the site -----------------------------------------------------------------------------------------

-- A job whose post is on its site does not fail, whatever went wrong later, and is not cancelled. `publish.post`: Wix
-- has confirmed it, so the job is DONE. `publish.asked`: Wix was asked to publish and its answer was lost, so it is
-- asked again until it answers, unless a person cancels the job.
-- Takes  the row that is about to become FAILED or CANCELLED; ran: it was PROCESSING.
-- Gives  the row as it will be stored.
create function spare_published(new blog_generations, ran boolean) returns blog_generations language plpgsql volatile as $$
declare
    post text := (
        select s.output ->> 'id' from generation_stages as s where s.generation_id = new.id and s.stage = 'publish.post'
    );
begin
    if post is not null then
        update blog_posts as p
        set wix_post_id = coalesce(p.wix_post_id, post), published_at = coalesce(p.published_at, now())
        where p.generation_id = new.id;
        new.status := 'DONE';
        new.error := null;
    elsif ran and new.status = 'FAILED' and exists (
        select from generation_stages as s
        where s.generation_id = new.id and s.stage = 'publish.asked' and s.output ->> 'refused' is distinct from 'true'
    ) and not exists (
        select from generation_stages as s where s.generation_id = new.id and s.stage = 'publish.deleted'
    ) then
        new.status := 'PENDING';
        new.run_at := now() + interval '10 minutes';
        new.error := 'its post may be on the site already: Wix is asked again. ' || coalesce(new.error, '');
    end if;
    return new;
end
$$;

-- Discards a draft that its owner deleted before it was published, when a person retries the job, so that another
-- one is made. There is no post: `publish.deleted` is saved only if Wix has neither.
create function forget_deleted_draft() returns trigger language plpgsql as $$
begin
    delete from generation_stages as s
    where
        s.generation_id = old.id
        and s.stage in ('publish.intent', 'publish.draft', 'publish.asked', 'publish.deleted')
        and exists (
            select from generation_stages as d where d.generation_id = old.id and d.stage = 'publish.deleted'
        );
    return new;
end
$$;

create trigger forget_deleted_draft before update on blog_generations
for each row when (
    old.status in ('FAILED', 'CANCELLED') and new.status in ('PENDING', 'SCHEDULED') and old.stage = 'publish'
)
execute function forget_deleted_draft();

-- Finding jobs -------------------------------------------------------------------------------------------------------

-- Whether a job mentions a text, in any case: in the title of its post, its source, its error or its site.
create function mentions(g blog_generations, title text, wanted text) returns boolean language sql stable as $$
    select strpos(
        lower(concat_ws(
            ' ', title, g.source_id, g.source_data ->> 'keyword', g.source_data ->> 'name', g.error, g.instance_id
        )),
        lower(wanted)
    ) > 0
$$;

-- The kind of the last error of a job. Unknown: it is FAILED, and no error was stored; null: it has none.
create function last_error_kind(g blog_generations) returns text language sql stable as $$
    select coalesce(
        (select e.kind from generation_errors as e where e.generation_id = g.id order by e.id desc limit 1),
        case when g.status = 'FAILED' then 'Unknown' end
    )
$$;

-- Titles and slugs: a site never has the same title twice, nor two that are much alike, nor two posts with one slug.

-- The titles of each site: chosen for a job, or published.
create table site_titles (
    instance_id text not null references sites,
    key text not null, -- the title in the form that is compared
    title text not null,
    source text not null default '', -- digest of its source
    generation_id bigint unique, -- null: the job was pruned; its title remains
    created_at timestamptz not null default now(),

    primary key (instance_id, key),
    constraint texts_are_bounded check (
        length(key) <= 2000 and length(title) <= 2000 and length(source) <= 200
    ),
    constraint times_are_date_times check (
        created_at between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    )
);

-- The slugs of the posts of each site.
create table site_slugs (
    instance_id text not null references sites,
    slug text not null,
    generation_id bigint unique, -- null: the job was pruned; its slug remains
    created_at timestamptz not null default now(),

    primary key (instance_id, slug),
    constraint texts_are_bounded check (length(slug) <= 200),
    constraint times_are_date_times check (
        created_at between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    )
);

-- A title without case, spacing and the punctuation of ASCII. Other characters stay: in the C locale [:alnum:] knows
-- no Cyrillic.
create function title_key(title text) returns text language sql immutable parallel safe as $$
    select coalesce(nullif(btrim(regexp_replace(lower(title), '[[:space:]!-/:-@\[-`{-~]+', ' ', 'g')), ''), title)
$$;

-- Comparing titles ---------------------------------------------------------------------------------------------------

-- pg_trgm has been trusted since Postgres 13: who may create in the database may create it. Where it is missing or not
-- allowed, titles are compared without it.
do $$
begin
    create extension if not exists pg_trgm;
exception when insufficient_privilege or feature_not_supported or undefined_file then
    raise notice 'pg_trgm cannot be created (%): titles are compared without an index', sqlerrm;
end
$$;

-- Creates the functions that compare titles, with pg_trgm if the database has it:
--   title_likeness: how alike two titles are, from 0 to 1: trigrams that both have, divided by those that either has;
--   titles_like: the titles of a site that are like this one, except those of one job;
--   title_limit: the least likeness that counts; it must be called first in the same transaction.
--
-- Measured among 100,000 titles of one site and as many of other sites: 38 ms by the index of pg_trgm, 930 ms by
-- comparing all titles of the site. Without pg_trgm 110 ms among 10,000, in proportion to the site. Rejected: arrays
-- of numbered trigrams under a GIN index of Postgres itself, probed for any of a quarter of them (720 ms and more:
-- half of the titles share one of ten).
--
-- The functions that use pg_trgm are parsed when they are created. So they work whatever schema it is in, follow it
-- to another one, and keep it from being dropped. `drop extension ... cascade` drops them too: `blogworker migrate`
-- then calls this again. An extension that is created when there are many titles is not used, because building its
-- index would block everybody who claims a title.
create function compare_titles() returns void language plpgsql volatile as $do$
declare
    home text; -- the schema of pg_trgm, quoted
    of_use boolean := false;
begin
    select quote_ident(n.nspname) into home
    from pg_extension as e
    join pg_namespace as n on n.oid = e.extnamespace
    where
        e.extname = 'pg_trgm'
        and has_schema_privilege(n.oid, 'USAGE')
        and not exists (select from site_titles offset 10000);
    if found then
        -- In the C locale it sees only the letters of ASCII, and is of no use for other alphabets.
        execute format('select %s.similarity(t, t) = 1 from (values (chr($1))) as d (t)', home) using 1078 into of_use;
    end if;
    if of_use then
        execute format(
            'create index site_titles_key_trigrams_idx on site_titles using gin (key %s.gin_trgm_ops)', home
        );
        execute format($sql$
            create or replace function title_likeness(one text, other text) returns real
            language sql immutable parallel safe return %s.similarity(one, other)
        $sql$, home);
        create or replace function title_limit() returns real language plpgsql volatile as $$
        begin
            perform title_likeness('', ''); -- loads the library: only then is its setting known
            return set_config('pg_trgm.similarity_threshold', '0.75', true)::real;
        end
        $$;
        execute format($sql$
            create or replace function titles_like(site text, wanted text, but_for bigint, least_likeness real)
            returns table (title text, key text, source text, likeness real) language sql stable
            begin atomic
                select t.title, t.key, t.source, title_likeness(t.key, wanted)
                from site_titles as t
                where
                    t.instance_id = site
                    and t.key operator(%s.%%) wanted
                    and t.generation_id is distinct from but_for;
            end
        $sql$, home);
    else
        create or replace function title_trigrams(key text) returns text[] language sql immutable parallel safe as $$
            select array_agg(distinct substr('  ' || w.word || ' ', n, 3))
            from regexp_split_to_table(key, ' ') as w (word)
            cross join lateral generate_series(1, length(w.word) + 1) as n
        $$;
        create or replace function title_likeness(one text, other text) returns real
        language sql immutable parallel safe as $$
            select (
                cardinality(a.grams) + cardinality(b.grams) - cardinality(u.grams)
            )::real / cardinality(u.grams)
            from (select title_trigrams(one) as grams) as a
            cross join (select title_trigrams(other) as grams) as b
            cross join (select title_trigrams(one || ' ' || other) as grams) as u
        $$;
        create or replace function title_limit() returns real language sql immutable as $$ select 0.75::real $$;
        -- Shared trigrams are counted by a text search, which is cheap: only titles with enough of them are compared.
        create or replace function titles_like(site text, wanted text, but_for bigint, least_likeness real)
        returns table (title text, key text, source text, likeness real) language sql stable as $$
            with asked as materialized (select title_trigrams(wanted) as grams)

            select t.title, t.key, t.source, l.likeness
            from asked as a
            cross join site_titles as t
            cross join lateral (
                select count(*) as shared
                from unnest(a.grams) as g (gram)
                where strpos('  ' || replace(t.key, ' ', '   ') || ' ', g.gram) > 0
            ) as s
            cross join lateral (
                select case
                    when s.shared >= least_likeness * cardinality(a.grams) then title_likeness(t.key, wanted)
                end as likeness
            ) as l
            where
                t.instance_id = site
                and t.generation_id is distinct from but_for
                and l.likeness >= least_likeness
        $$;
    end if;
    if to_regprocedure('secure_functions()') is not null then -- not yet while the schema is being created
        perform secure_functions();
    end if;
end
$do$;

select compare_titles();

-- Claiming -----------------------------------------------------------------------------------------------------------

-- The titles of a site that are like this one.
-- Gives  one row: likeness of the nearest, null: none is like it; same: one of them is the same, or of the same source;
--        titles, the nearest first.
-- Hints  Planned for each call, because sites differ in the number of their titles by five orders of magnitude.
create function nearest_titles(site text, wanted_key text, made_of text, but_for bigint, least_likeness real)
returns table (likeness real, same boolean, titles text[]) language plpgsql volatile
set plan_cache_mode = force_custom_plan as $$
begin
    return query
    select
        max(l.likeness), bool_or(l.key = wanted_key or l.source = made_of), array_agg(l.title order by l.likeness desc)
    from titles_like(site, wanted_key, but_for, least_likeness) as l;
end
$$;

-- Claims the first of these titles that is not like another title of the site.
-- Takes  the fence of the attempt; wanted: titles, the best first; made_of: digest of the source; last_chance: if all
--        are like others, take the least alike, but never the same title, nor one like a title of the same source.
-- Gives  no row if the claim is lost; else one: place in wanted, null if no title is free; taken: the titles of the
--        site that were in the way.
-- Locks  the job; then the turn of the site for titles, until the end of the transaction: the jobs of one site choose
--        one after the other, and each sees what those before it chose.
create function claim_title(
    job bigint, job_attempt integer, worker uuid, wanted text[], made_of text, last_chance boolean
)
returns table (place integer, taken text[]) language plpgsql volatile as $$
#variable_conflict use_column
declare
    site text;
    wanted_key text;
    nearest record;
    alike_from real;
    least_likeness real := 2;
    spare integer;
begin
    select g.instance_id into site
    from blog_generations as g
    where is_attempt(g, job, job_attempt, worker)
    for no key update;
    if not found then
        return;
    end if;
    taken := '{}';
    if exists (select from site_titles as t where t.generation_id = job and t.title = wanted[1]) then
        place := 1; -- it has claimed this title before
        return next;
        return;
    end if;
    perform take_turn('titles', site);
    alike_from := title_limit();
    for n in 1 .. cardinality(wanted) loop
        wanted_key := title_key(wanted[n]);
        select n.likeness, n.same, n.titles into nearest
        from nearest_titles(site, wanted_key, made_of, job, alike_from) as n;
        if nearest.likeness is null and not exists (
            select from site_titles as t
            where t.instance_id = site and t.key = wanted_key and t.generation_id is distinct from job
        ) then -- catches the same title even if it has no letter, so no trigram
            place := n;
            exit;
        end if;
        taken := taken || coalesce(nearest.titles[1], wanted[n]);
        if not nearest.same and nearest.likeness < least_likeness then
            least_likeness := nearest.likeness;
            spare := n;
        end if;
    end loop;
    if place is null and last_chance then
        place := spare;
    end if;
    if place is not null then
        wanted_key := title_key(wanted[place]);
        delete from site_titles as t where t.generation_id = job;
        insert into site_titles (instance_id, key, title, source, generation_id)
        values (site, wanted_key, wanted[place], made_of, job);
    end if;
    return next;
end
$$;

-- Claims a slug that no other job of the site has: the first of these that is free, else stem-2, stem-3 and so on.
-- A job that already has one of these keeps it, so that a later attempt does not change an address.
-- Takes  the fence of the attempt; wanted: slugs, the best first; stem: a slug with room for a number behind it.
-- Gives  the slug; null if the claim is lost.
-- Locks  the same as claim_title.
create function claim_slug(job bigint, job_attempt integer, worker uuid, wanted text[], stem text)
returns text language plpgsql volatile as $$
declare
    site text;
    found_slug text;
    counter integer := 2;
begin
    select g.instance_id into site
    from blog_generations as g
    where is_attempt(g, job, job_attempt, worker)
    for no key update;
    if not found then
        return null;
    end if;
    perform take_turn('titles', site);
    select s.slug into found_slug
    from site_slugs as s
    where
        s.generation_id = job
        and (
            s.slug = any (wanted)
            or (starts_with(s.slug, stem || '-') and substr(s.slug, length(stem) + 2) ~ '^[0-9]+$')
        );
    if found then
        return found_slug;
    end if;
    delete from site_slugs as s where s.generation_id = job;
    select w.slug into found_slug
    from unnest(wanted) with ordinality as w (slug, place)
    where not exists (select from site_slugs as s where s.instance_id = site and s.slug = w.slug)
    order by w.place
    limit 1;
    while found_slug is null loop
        if not exists (
            select from site_slugs as s where s.instance_id = site and s.slug = stem || '-' || counter
        ) then
            found_slug := stem || '-' || counter;
        end if;
        counter := counter + 1;
    end loop;
    insert into site_slugs (instance_id, slug, generation_id) values (site, found_slug, job);
    return found_slug;
end
$$;

-- Releasing ----------------------------------------------------------------------------------------------------------

-- A job cancelled before any of its text was paid for releases its title and its slug, and chooses again if a person
-- retries it. A FAILED job keeps them: it waits for a retry, and an idea that could not be written is of no use to
-- others.
create function release_title() returns trigger language plpgsql as $$
begin
    if old.stage in ('ideas', 'content') and not exists (
        select from generation_stages as s
        where s.generation_id = old.id and s.stage like 'content%' and s.stage <> 'content.forgotten'
    ) then
        delete from site_titles as t where t.generation_id = old.id;
        delete from site_slugs as u where u.generation_id = old.id;
        delete from generation_stages as s where s.generation_id = old.id and s.stage = 'ideas';
        new.stage := 'ideas';
    end if;
    return new;
end
$$;

create trigger release_title before update on blog_generations
for each row when (new.status = 'CANCELLED' and old.status is distinct from new.status)
execute function release_title();

-- What is published keeps its title and slug, whatever happens to its row. A job that was deleted before it was DONE is
-- looked up first, because its checkpoints go with it.
create function keep_published_titles() returns trigger language plpgsql as $$
begin
    if is_published(old.id) then
        update site_titles as t set generation_id = null where t.generation_id = old.id;
        update site_slugs as u set generation_id = null where u.generation_id = old.id;
    end if;
    return old;
end
$$;

create trigger keep_published_titles before delete on blog_generations
for each row when (old.status <> 'DONE') execute function keep_published_titles();

create function keep_titles() returns trigger language plpgsql as $$
begin
    delete from site_titles as t using old_rows as o where t.generation_id = o.id and o.status <> 'DONE';
    update site_titles as t set generation_id = null from old_rows as o where t.generation_id = o.id;
    delete from site_slugs as u using old_rows as o where u.generation_id = o.id and o.status <> 'DONE';
    update site_slugs as u set generation_id = null from old_rows as o where u.generation_id = o.id;
    return null;
end
$$;

create trigger keep_titles after delete on blog_generations
referencing old table as old_rows
for each statement execute function keep_titles();

create function keep_all_titles() returns trigger language plpgsql as $$
begin
    update site_titles as t set generation_id = null where t.generation_id is not null;
    update site_slugs as u set generation_id = null where u.generation_id is not null;
    return null;
end
$$;

create trigger keep_all_titles after truncate on blog_generations
for each statement execute function keep_all_titles();

-- Restores: whether the database has lost history that workers have acted on. A backup was restored, or a standby was
-- promoted that had not received all changes.
--
-- Nothing in the lost part is known any more, but the providers know it: posts, drafts, pictures. So a job that may have
-- been in the lost part asks them before it makes anything (`job_origin`). Every check costs some microseconds, and is
-- made right before a draft or a picture: a worker that survives a failover must not act on what it knew before.

-- What identifies the history of this database, in one row.
create table database_history (
    one boolean primary key default true check (one),
    system_identifier bigint, -- of the cluster; null: not seen yet, or the server does not report it
    timeline integer, -- a promotion and a point-in-time recovery begin a new one; null as above
    written_by xid8 not null default pg_current_xact_id(), -- differs from xmin in a copy: a dump, logical replication
    seen_at timestamptz not null default clock_timestamp() -- if this row is here, nothing is lost from before
) with (fillfactor = 50);

insert into database_history default values;

create trigger replace_seeded_row before insert on database_history
for each row when (restoring()) execute function replace_seeded_row('one');

create table restores (
    id bigint generated always as identity primary key,
    found_at timestamptz not null default clock_timestamp(),
    since timestamptz not null, -- from then on, history may be lost
    reason text not null,

    constraint texts_are_bounded check (length(reason) <= 2000),
    constraint times_are_date_times check (
        least(found_at, since) >= '0001-01-01 00:00:00+00'
        and greatest(found_at, since) <= '9999-12-31 23:59:59.999999+00'
    )
);

-- Where the server is. A column is null if the server does not report it: some hosted ones refuse these functions.
-- lsn: up to here the write-ahead log is on disk, so a crash loses nothing before it.
create function server_position(out system_identifier bigint, out timeline integer, out lsn pg_lsn)
language plpgsql volatile as $$
begin
    begin
        system_identifier := (select c.system_identifier from pg_control_system() as c);
    exception when others then
        null;
    end;
    begin
        -- pg_control_checkpoint reports the new timeline only after a checkpoint.
        lsn := pg_current_wal_flush_lsn();
        timeline := ('x' || left(pg_walfile_name(lsn), 8))::bit(32)::integer;
    exception when others then
        null;
    end;
end
$$;

-- Notes that history was lost, if it was.
-- Takes  remembered: the place that an earlier call has given to the same process; null: none.
-- Gives  place: to be remembered; found_at, since, reason: the latest restore, null: there was none; noted: it was
--        noted now.
-- Locks  the row of database_history, unless another transaction has locked it.
create function note_restore(
    remembered text, out place text, out found_at timestamptz, out since timestamptz, out reason text, out noted boolean
) language plpgsql volatile as $$
declare
    own record;
    known record;
    locked record;
    earlier text[] := string_to_array(remembered, ' ');
    is_locked boolean := false;
begin
    select p.* into own from server_position() as p;
    select h.*, h.xmin::text::bigint as xmin into known from database_history as h;
    place := concat_ws(' ', own.system_identifier, own.timeline, own.lsn);
    loop
        reason := case
            when known.one is null then 'the table database_history is empty'
            when known.xmin <> known.written_by::text::numeric % 4294967296 then
                'the database is a copy: a dump was restored, or its rows were replicated logically'
            when known.system_identifier <> own.system_identifier then
                'the server is another one: a backup was restored there, or Postgres was upgraded'
            when known.timeline <> own.timeline then
                format(
                    'timeline %s has become %s: a standby was promoted, or a backup was recovered',
                    known.timeline,
                    own.timeline
                )
            when own.lsn is not null and earlier[1] = own.system_identifier::text and (
                earlier[2]::integer > own.timeline
                or (earlier[2]::integer = own.timeline and earlier[3]::pg_lsn > own.lsn)
            ) then
                format('the database is older than a worker remembers: at %s, was at %s', own.lsn, earlier[3])
        end;
        noted := reason is not null;
        exit when is_locked or not (
            noted or known.seen_at < clock_timestamp() - interval '1 second' or known.timeline is null
        );
        -- Another transaction may have noted it since the row was read, so the row is judged again once it is locked.
        select h.*, h.xmin::text::bigint as xmin into locked
        from database_history as h
        for no key update skip locked;
        is_locked := found;
        exit when not is_locked;
        known := locked;
    end loop;
    if known.one is null then
        insert into database_history as h (system_identifier, timeline) values (own.system_identifier, own.timeline)
        on conflict (one) do nothing;
        is_locked := found;
        noted := found;
    end if;
    if noted and is_locked then
        insert into restores as r (since, reason)
        values (coalesce(known.seen_at, '0001-01-01 00:00:00+00'), note_restore.reason);
    end if;
    if is_locked then
        update database_history as h
        set
            system_identifier = own.system_identifier,
            timeline = own.timeline,
            written_by = pg_current_xact_id(),
            seen_at = clock_timestamp();
    elsif noted then -- another transaction notes it, and it is not visible yet
        found_at := clock_timestamp();
        since := known.seen_at;
        return;
    end if;
    select r.found_at, r.since, r.reason
    into note_restore.found_at, note_restore.since, note_restore.reason
    from restores as r
    order by r.id desc
    limit 1;
end
$$;

-- Whether what a job has done may be lost, and how its work is recognised at the providers.
-- Takes  job; remembered: see note_restore.
-- Gives  mark: the same for the same job whatever was lost; also for one that its producer has added again with the same
--        idempotency key. found_at: when the loss was found, since: from when on history may be lost; both null: the job
--        has lost nothing. text_survived: its text is older than that, so the lost part may have a picture for it.
--        place: see note_restore. No row without such a job.
create function job_origin(
    job bigint, remembered text, out mark text, out found_at timestamptz, out since timestamptz,
    out text_survived boolean, out place text
) returns setof record language plpgsql volatile as $$
declare
    own blog_generations;
    latest record;
    margin interval;
begin
    select n.* into latest from note_restore(remembered) as n;
    select g.* into own from blog_generations as g where g.id = job;
    if own.id is null then
        return;
    end if;
    place := latest.place;
    mark := left(
        md5(
            case
                when own.idempotency_key is not null then format('%s key %s', own.instance_id, own.idempotency_key)
                else format('%s job %s of %s', own.instance_id, own.id, extract(epoch from own.created_at))
            end
        ),
        20
    );
    -- A producer that adds lost jobs again does so within days. All other new jobs have lost nothing.
    margin := case when own.idempotency_key is null then interval '0' else interval '2 days' end;
    if own.created_at <= latest.found_at + margin then
        found_at := latest.found_at;
        since := least(
            latest.since, (select min(r.since) from restores as r where own.created_at <= r.found_at + margin)
        );
    end if;
    text_survived := exists (
        select from generation_stages as s
        where s.generation_id = job and s.stage = 'content' and s.created_at <= job_origin.found_at
    );
    return next;
end
$$;

-- Advances each sequence beyond the ids in its table. Logical replication does not copy sequences.
-- Gives  a row per sequence that was behind: its name, and the last id that it has given before (0: none) and now.
create function advance_sequences() returns table (sequence text, last_before bigint, last_id bigint) language plpgsql volatile as $$
declare
    owned record;
    highest bigint;
begin
    for owned in
        select
            c.oid::regclass as table_name,
            a.attname as column_name,
            pg_get_serial_sequence(quote_ident(n.nspname) || '.' || quote_ident(c.relname), a.attname) as name
        from pg_class as c
        join pg_namespace as n on n.oid = c.relnamespace
        join pg_attribute as a on a.attrelid = c.oid
        where
            c.relnamespace = (select b.relnamespace from pg_class as b where b.oid = 'blog_generations'::regclass)
            and c.relowner = (select b.relowner from pg_class as b where b.oid = 'blog_generations'::regclass)
            and c.relkind = 'r'
            and a.attidentity <> ''
        order by 1
    loop
        execute format('select max(%I) from %s', owned.column_name, owned.table_name) into highest;
        last_before := coalesce(pg_sequence_last_value(owned.name::regclass), 0);
        if highest > last_before then
            perform setval(owned.name::regclass, highest);
            sequence := owned.name;
            last_id := highest;
            return next;
        end if;
    end loop;
end
$$;

-- The library of each site: what its posts are about, to find those that are related to a new one.
--
-- A post is found by the words that it shares with another. site_terms is an index from a word to the posts that have
-- it. A word that many posts have says little, and only its newest posts are looked at: so the cost of a search is
-- bounded on a site of any size (related_posts.sql).
--
-- No foreign key leads to blog_generations: what is published stays in the library when its job is pruned.
create table site_posts (
    instance_id text not null,
    generation_id bigint not null,
    title text not null,
    angle text not null, -- what this post says that others do not; empty if unknown
    language text, -- null: the site had not set any
    terms text[] not null, -- as in site_terms
    url text, -- where it can be read; null: not published, or Wix did not give an address
    created_at timestamptz not null default now(),

    primary key (instance_id, generation_id),
    constraint texts_are_bounded check (
        length(instance_id) <= 200
        and length(title) <= 2000
        and length(angle) <= 2000
        and length(language) <= 100
        and cardinality(terms) <= 100
        and length(url) <= 10000
    ),
    constraint times_are_date_times check (
        created_at between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    )
);

create table site_terms (
    instance_id text not null,
    term text not null, -- the first letters of a word, in lower case: blogworker/stages/library.py
    generation_id bigint not null,

    primary key (instance_id, term, generation_id),
    constraint texts_are_bounded check (length(instance_id) <= 200 and length(term) <= 100)
);

-- Adds the post of a job to the library of its site, or updates it there. The caller has locked the job.
-- Takes  entry: title, angle, language (null: unknown), terms.
create function record_post(job bigint, site text, entry jsonb) returns void language plpgsql volatile as $$
declare
    found_by text[] := array(select jsonb_array_elements_text(entry -> 'terms'));
begin
    delete from site_terms as t
    using site_posts as p
    where
        p.instance_id = site
        and p.generation_id = job
        and t.instance_id = site
        and t.generation_id = job
        and t.term = any (p.terms)
        and t.term <> all (found_by);
    insert into site_posts as p (instance_id, generation_id, title, angle, language, terms)
    values (site, job, entry ->> 'title', entry ->> 'angle', entry ->> 'language', found_by)
    on conflict (instance_id, generation_id) do update
    set title = excluded.title, angle = excluded.angle, language = excluded.language, terms = excluded.terms;
    insert into site_terms (instance_id, term, generation_id)
    select site, t.term, job from unnest(found_by) as t (term)
    on conflict do nothing;
end
$$;

-- Stores the post of a job; a column that is missing or null keeps its value. The caller has locked the job. Once the
-- post is published and has an address, the library gets the address too.
-- Takes  post: columns of blog_posts by name, without the bytes of the picture; picture: these bytes. Without a title
--        only the columns that are known after the text are changed, which costs nothing for the large ones.
-- Gives  false if there is no row and the post has no title: then nothing was stored.
create function store_post(job bigint, site text, post jsonb, picture bytea) returns boolean
language plpgsql volatile as $$
declare
    p record;
begin
    select r.* into p
    from jsonb_to_record(post) as r (
        title text, slug text, excerpt text, markdown text, html text, tags text[], seo_title text, seo_description text,
        word_count integer, image_type text, image_alt text, image_prompt text, wix_media_id text, wix_draft_id text,
        wix_post_id text, url text, score smallint
    );
    if p.wix_post_id is not null and p.url is not null then
        update site_posts as l set url = p.url where l.instance_id = site and l.generation_id = job;
    end if;
    if p.title is null then
        update blog_posts as b
        set
            image = coalesce(picture, b.image),
            image_type = coalesce(p.image_type, b.image_type),
            image_prompt = coalesce(p.image_prompt, b.image_prompt),
            wix_media_id = coalesce(p.wix_media_id, b.wix_media_id),
            wix_draft_id = coalesce(p.wix_draft_id, b.wix_draft_id),
            wix_post_id = coalesce(p.wix_post_id, b.wix_post_id),
            url = coalesce(p.url, b.url),
            updated_at = now(),
            published_at = coalesce(b.published_at, case when p.wix_post_id is not null then now() end)
        where b.generation_id = job;
        return found;
    end if;
    insert into blog_posts as b (
        generation_id, instance_id, title, slug, excerpt, markdown, html, tags, seo_title, seo_description, word_count,
        image, image_type, image_alt, image_prompt, wix_media_id, wix_draft_id, wix_post_id, url, score, published_at
    )
    values (
        job, site, p.title, p.slug, p.excerpt, p.markdown, p.html, coalesce(p.tags, '{}'), p.seo_title, p.seo_description,
        p.word_count, picture, p.image_type, p.image_alt, p.image_prompt, p.wix_media_id, p.wix_draft_id, p.wix_post_id,
        p.url, p.score, case when p.wix_post_id is not null then now() end
    )
    on conflict (generation_id) do update
    set
        title = coalesce(excluded.title, b.title),
        slug = coalesce(excluded.slug, b.slug),
        excerpt = coalesce(excluded.excerpt, b.excerpt),
        markdown = coalesce(excluded.markdown, b.markdown),
        html = coalesce(excluded.html, b.html),
        tags = case when excluded.tags = '{}' then b.tags else excluded.tags end,
        seo_title = coalesce(excluded.seo_title, b.seo_title),
        seo_description = coalesce(excluded.seo_description, b.seo_description),
        word_count = coalesce(excluded.word_count, b.word_count),
        image = coalesce(excluded.image, b.image),
        image_type = coalesce(excluded.image_type, b.image_type),
        image_alt = coalesce(excluded.image_alt, b.image_alt),
        image_prompt = coalesce(excluded.image_prompt, b.image_prompt),
        wix_media_id = coalesce(excluded.wix_media_id, b.wix_media_id),
        wix_draft_id = coalesce(excluded.wix_draft_id, b.wix_draft_id),
        wix_post_id = coalesce(excluded.wix_post_id, b.wix_post_id),
        url = coalesce(excluded.url, b.url),
        score = coalesce(excluded.score, b.score),
        updated_at = now(),
        published_at = coalesce(b.published_at, excluded.published_at);
    return true;
end
$$;

-- Review: one of so many posts of a site stays a draft, for a person to read.

-- How many posts of a site passed since the last one that was held for review.
create table site_reviews (
    instance_id text primary key references sites on delete cascade,
    passed integer not null check (passed between 0 and 1000)
) with (fillfactor = 70);

-- Decides whether the post of a job is held for review: the last of `every` consecutive posts of its site. The answer
-- is stored as its checkpoint `publish.review`, in the same transaction as the count, so that no retry is counted
-- again.
-- Takes  the fence of the attempt; every.
-- Gives  null if the claim is lost.
-- Locks  the job, then the count of the site, so that workers draw one by one. Volatile: it sees what those before it
--        wrote.
create function draw_review(job bigint, job_attempt integer, worker uuid, every integer)
returns boolean language plpgsql volatile as $$
declare
    site text;
    held boolean;
begin
    select g.instance_id into site
    from blog_generations as g
    where is_attempt(g, job, job_attempt, worker)
    for no key update;
    if not found then
        return null;
    end if;
    select (s.output -> 'held')::boolean into held
    from generation_stages as s
    where s.generation_id = job and s.stage = 'publish.review' and jsonb_typeof(s.output -> 'held') = 'boolean';
    if found then
        return held;
    end if;
    insert into site_reviews as r (instance_id, passed)
    values (site, case when every <= 1 then 0 else 1 end)
    on conflict (instance_id) do update
    set passed = case when r.passed + 1 >= every then 0 else r.passed + 1 end
    returning r.passed = 0 into held;
    insert into generation_stages as s (generation_id, stage, output, attempt)
    values (job, 'publish.review', jsonb_build_object('held', held, 'every', every), job_attempt)
    on conflict (generation_id, stage) do update
    set output = excluded.output, attempt = excluded.attempt;
    return held;
end
$$;

-- What the checks found in the posts that are stored, by defect: in how many posts it was repaired, and in how many it
-- was returned to the model; when a post last had it.
create view post_defects as
select
    d.defect,
    count(*) filter (where d.became = 'repaired') as repaired,
    count(*) filter (where d.became = 'returned') as returned,
    max(s.created_at) as last_at
from generation_stages as s
cross join lateral (
    select b.became, n.defect
    from (values ('repaired'), ('returned')) as b (became)
    cross join lateral (
        select distinct e.defect
        from jsonb_array_elements_text(
            case when jsonb_typeof(s.output -> b.became) = 'array' then s.output -> b.became else '[]' end
        ) as e (defect)
    ) as n
) as d
where s.stage = 'content'
group by d.defect;

-- Workers: which processes are alive, by their leases.

-- One row for each name. A new incarnation of a name takes over the row, which fences off the old one.
create table workers (
    name text primary key,
    worker_id uuid not null unique, -- this incarnation
    host text not null,
    pid integer not null,
    version text not null,
    concurrency integer not null,
    in_flight integer not null default 0,
    draining boolean not null default false,
    started_at timestamptz not null default now(),
    lease_until timestamptz not null,
    stats jsonb not null default '{}', -- of its last heartbeat

    constraint texts_are_bounded check (
        length(name) <= 200 and length(host) <= 300 and length(version) <= 100
    ),
    constraint counts_are_bounded check (
        concurrency between 0 and 1000000 and in_flight between 0 and 1000000
    ),
    constraint stats_are_at_most_4_mb check (octet_length(stats::text) <= 4194304),
    constraint stats_are_readable check (
        not jsonb_path_exists(stats, 'strict $.**{33 to last}')
        and not jsonb_path_exists(stats, 'strict $.** ? (@ > 1e308 || @ < -1e308)')
    ),
    constraint times_are_date_times check (
        least(started_at, lease_until) >= '0001-01-01 00:00:00+00'
        and greatest(started_at, lease_until) <= '9999-12-31 23:59:59.999999+00'
    )
) with (fillfactor = 50);

-- Workers, by name, that a person has told to claim nothing. A restart of the worker does not end it.
create table quiet_workers (
    name text primary key check (length(name) <= 200),
    reason text not null check (length(reason) <= 2000),
    since timestamptz not null default now()
);

-- A number in JSON that another program wrote, limited to 0 .. most. Null if it is not a number.
create function json_number(v jsonb, most numeric) returns double precision language sql immutable parallel safe as $$
    select case when jsonb_typeof(v) = 'number' then least(most, greatest(0, v::numeric))::double precision end
$$;

-- Quotas: what each provider lets the whole fleet call, as one bucket per provider and model family, or per site for
-- Wix.
--
-- A bucket has two clocks, of requests and of tokens, as in GCRA: each shows when everything granted so far will have
-- been used at the permitted rate. A call may go once its clock is no more than the burst ahead of now.

create table quotas (
    name text primary key, -- provider/family, or wix/instance_id
    provider text not null,

    -- Limits of our own settings.
    requests_per_minute integer not null check (requests_per_minute > 0),
    tokens_per_minute integer check (tokens_per_minute > 0), -- null: this provider counts requests only
    burst_s real not null default 1 check (burst_s >= 0), -- providers enforce by the second, not by the minute
    pinned boolean not null default false, -- set by a person: the settings of a worker do not change the limits

    -- What the provider reports.
    reported_requests_per_minute integer,
    reported_tokens_per_minute integer,
    requests_left real, -- of the provider's own bucket, as a fraction; others may draw from it too
    tokens_left real,
    learned_at timestamptz not null default to_timestamp(0),
    slowed real not null default 1 check (slowed > 0 and slowed <= 1), -- halved by "slow down", recovers by itself
    slowed_at timestamptz not null default to_timestamp(0),
    blocked_until timestamptz not null default to_timestamp(0), -- the retry-after of a provider, for the whole fleet

    -- The clocks.
    requests_clock timestamptz not null default to_timestamp(0),
    tokens_clock timestamptz not null default to_timestamp(0),
    returned_s double precision not null default 0, -- that calls gave back to the clock of tokens, ever
    epoch integer not null default 0, -- changes when calls that are granted and not due yet must ask again
    line_epoch integer not null default 0, -- of the calls that the clocks count
    line_pace real not null default 1, -- at which they were granted
    line_tokens integer not null default 0, -- the largest estimate since the clock of tokens last stood still
    -- The calls that are granted and have not started, in order: where the clock of tokens stood before each, and when it
    -- may go as far as requests and a block are concerned.
    line_clocks timestamptz[] not null default '{}',
    line_soonest timestamptz[] not null default '{}',
    excess_clock timestamptz not null default to_timestamp(0), -- of tokens, after the last usage beyond an estimate

    -- Calls made and their tokens, by slots of five seconds, the newest first. Thirteen cover any minute.
    newest_slot bigint not null default 0, -- its number since 1970
    slot_requests integer[] not null default array_fill(0, array[13]),
    slot_tokens integer[] not null default array_fill(0, array[13]),

    updated_at timestamptz not null default now(),

    constraint texts_are_bounded check (length(name) <= 500 and length(provider) <= 200),
    constraint limits_are_positive check ( -- they are divisors
        reported_requests_per_minute > 0 and reported_tokens_per_minute > 0
    ),
    constraint rates_are_bounded check (
        burst_s between 0 and 3600
        and slowed between 0.01 and 1
        and line_pace between 0 and 1000
        and requests_left between 0 and 1
        and tokens_left between 0 and 1
        and returned_s between -1e15 and 1e15
    ),
    constraint slots_are_thirteen_counts check (
        newest_slot between -2000000000 and 2000000000
        and line_tokens >= 0
        and cardinality(slot_requests) = 13
        and cardinality(slot_tokens) = 13
        and 100000000 >= all (slot_requests)
        and -100000000 <= all (slot_requests)
        and 100000000 >= all (slot_tokens)
        and -100000000 <= all (slot_tokens)
    ),
    constraint line_is_two_equal_lists check (cardinality(line_clocks) = cardinality(line_soonest)),
    constraint excess_clock_is_a_date_time check (
        excess_clock between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    ),
    constraint epochs_can_be_incremented check (
        epoch between 0 and 2000000000 and line_epoch between 0 and 2000000000
    ),
    constraint times_are_date_times check (
        least(requests_clock, tokens_clock, blocked_until, learned_at, slowed_at, updated_at)
        >= '0001-01-01 00:00:00+00'
        and greatest(requests_clock, tokens_clock, blocked_until, learned_at, slowed_at, updated_at)
        <= '9999-12-31 23:59:59.999999+00'
    )
) with (fillfactor = 10);

-- There may be tens of thousands of buckets of sites. The figures of the fleet are about the other buckets, and about
-- those that a provider has blocked. Neither index has a column that a round changes.
create index quotas_of_the_fleet_idx on quotas (name) where provider <> 'wix';
create index quotas_of_sites_blocked_idx on quotas (blocked_until) where provider = 'wix';

comment on column quotas.epoch is 'changes when calls that were granted and are not due yet have to ask again';

-- The last round in which each client (the callers of one process for one bucket) refunded or reported: a round sent
-- again because its answer was lost must not count twice. expire_clients.sql removes old rows.
create table quota_rounds (
    client_id uuid primary key,
    number bigint not null,
    at timestamptz not null,

    constraint times_are_date_times check (
        at between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    )
) with (fillfactor = 50);

-- Calls that wait for a bucket, of all processes. Only a transaction that has locked the row of the bucket changes
-- these rows. Unlogged: after a crash of the server, the waiting processes ask again.
create unlogged table quota_waits (
    call_id uuid primary key,
    bucket text not null,
    client_id uuid not null, -- the process that waits; it asks again several times a second
    turn double precision not null, -- virtual_time of the site when the job was claimed: claims use the same order
    tokens integer not null,
    asked_at timestamptz not null,
    seen_at timestamptz not null,
    starts_at timestamptz, -- null: not granted yet
    soonest_at timestamptz, -- the same without the clock of tokens
    returned_s double precision, -- quotas.returned_s when it was granted
    request_s double precision, -- what it was charged when it was granted: for the request, for each token
    token_s double precision,

    constraint numbers_are_bounded check (
        turn between -1e16 and 1e16
        and returned_s between -1e15 and 1e15
        and request_s between 0 and 1e9
        and token_s between 0 and 1e9
    ),
    constraint times_are_date_times check (
        least(asked_at, seen_at, starts_at, soonest_at) >= '0001-01-01 00:00:00+00'
        and greatest(asked_at, seen_at, starts_at, soonest_at) <= '9999-12-31 23:59:59.999999+00'
    )
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

create index quota_waits_bucket_idx on quota_waits (bucket, turn, asked_at);

-- Pace and cost ------------------------------------------------------------------------------------------------------

-- The part of its limit that a bucket may use at time t, above 0 up to 1.
--
-- Others may use the same key: then the provider's bucket runs low although we keep to our rate. Below half full, we
-- take in proportion to what is left, which settles where their use and ours add up to the inflow. The gain of 2
-- keeps that stable with answers that arrive half a minute late. A report older than ten seconds fades over a minute.
-- "Slow down" halves the pace, which recovers within two minutes. That is bounded below: after a failover to a server
-- whose clock is behind, slowed_at may lie ahead, and a negative pace would move the clocks back with each call.
create function quota_pace(q quotas, t timestamptz) returns double precision language sql immutable as $$
    select
        least(
            1,
            greatest(0.02, 2 * least(coalesce(q.requests_left, 1), coalesce(q.tokens_left, 1)))
            + greatest(0, extract(epoch from t - q.learned_at) - 10) / 60
        )::double precision
        * least(1, q.slowed + greatest(0, extract(epoch from t - q.slowed_at)) / 120)::double precision
$$;

-- How far the clocks of a bucket have been granted ahead of t, in seconds: when the next call could go.
create function quota_ahead_s(q quotas, t timestamptz) returns double precision language sql immutable as $$
    select greatest(
        0,
        extract(epoch from q.blocked_until - t),
        extract(epoch from q.requests_clock - t) - q.burst_s,
        case when q.tokens_per_minute is not null then extract(epoch from q.tokens_clock - t) - q.burst_s end
    )::double precision
$$;

-- How far one request, and one token, moves its clock at time t; token_s is 0 where tokens are not counted.
create function quota_cost(q quotas, t timestamptz, out request_s double precision, out token_s double precision)
language sql immutable as $$
    select
        60 / (quota_pace(q, t) * least(q.requests_per_minute, q.reported_requests_per_minute)),
        case
            when q.tokens_per_minute is null then 0
            else 60 / (quota_pace(q, t) * least(q.tokens_per_minute, q.reported_tokens_per_minute))
        end
$$;

-- When a limit changes: what was granted and used ahead of time is a number of requests or tokens, so at the new limit it
-- takes another time. Otherwise a limit that was too low by mistake would stop the fleet for as long after it is
-- corrected.
create function quota_rescaled(clock timestamptz, t timestamptz, was integer, becomes integer) returns timestamptz
language sql immutable as $$
    select
        case
            when clock > t and was <> becomes
                then t + make_interval(
                    secs => least(1e9, extract(epoch from clock - t)::double precision * was / becomes)
                )
            else clock
        end
$$;

create function quotas_rescale() returns trigger language plpgsql as $$
declare
    t timestamptz := clock_timestamp();
begin
    new.requests_clock := quota_rescaled(new.requests_clock, t, old.requests_per_minute, new.requests_per_minute);
    new.tokens_clock := quota_rescaled(new.tokens_clock, t, old.tokens_per_minute, new.tokens_per_minute);
    new.excess_clock := quota_rescaled(new.excess_clock, t, old.tokens_per_minute, new.tokens_per_minute);
    return new;
end
$$;

create trigger rescale before update of requests_per_minute, tokens_per_minute on quotas
for each row when (
    old.requests_per_minute <> new.requests_per_minute or old.tokens_per_minute <> new.tokens_per_minute
) execute function quotas_rescale();

-- The last minute ----------------------------------------------------------------------------------------------------

-- The number of the slot of a time.
create function quota_slot(t timestamptz) returns bigint language sql immutable as $$
    select floor(extract(epoch from t) / 5)::bigint
$$;

-- The slots, shifted to a newer one; the oldest drop out.
create function quota_moved_on(slots integer[], newest bigint, slot bigint) returns integer[] language sql immutable as $$
    select
        case
            when slot <= newest then slots
            when slot - newest >= 13 then array_fill(0, array[13])
            else (array_fill(0, array[(slot - newest)::integer]) || slots)[1:13]
        end
$$;

-- The count of a slot with an addition. Bounded, so that the sum of the slots is an integer.
create function quota_counted(count integer, more integer) returns integer language sql immutable as $$
    select greatest(-100000000, least(100000000, count::bigint + more))::integer
$$;

-- The sum of the minute before a time. The oldest slot counts by the part of it that lies within the minute.
create function quota_last_minute(slots integer[], newest bigint, t timestamptz) returns integer
language sql immutable as $$
    select
        greatest(
            0,
            round(
                sum(s.amount * greatest(0, least(1, newest - s.place + 2 - (extract(epoch from t) - 60) / 5)))
            )
        )::integer
    from unnest(slots) with ordinality as s (amount, place)
$$;

-- A figure of the last minute as people see it. The sums are of 5 s slots, the oldest of which is only partly in the
-- minute, and a burst may go at once. So a fully used quota can seem overrun by that much: it is shown as 100 %. More
-- is shown as it is: the limit was lowered, or calls used more than was reserved for them.
create function quota_shown(used integer, most integer, burst_s real) returns integer language sql immutable as $$
    select case when used::double precision * 60 <= most::double precision * (65 + burst_s) then least(used, most) else used end
$$;

-- A round ------------------------------------------------------------------------------------------------------------

-- One round with a bucket for all callers of a process: refund, report usage, then reserve.
-- Takes  call_ids, turns, tokens, waited_s: the calls that the process waits to make, with their estimates and how
--        long each has waited so far; those it named before and does not name now are forgotten. unused_tokens: what
--        each call that ended left of its estimate (negative: it used more); unused_token_s: how far each token of
--        that call moved the clock; a call that was granted, started and never reached the provider used no tokens.
--        refund_requests_s, refund_tokens_s: how far the clocks move back for calls that left before they started,
--        ignored if refund_epoch is not the bucket's any more; longest_wait_s: calls that would wait longer in all are
--        refused; ahead_s: a call is granted at most this long before it may go, however long it has waited; reported_s,
--        reported_requests, reported_tokens: usage to add to the figures of the last minute, so many seconds ago each (a
--        call that may go at once is counted here already); client_id, number: of those rounds that refund or report.
--        Each counts once, however often it is sent.
-- Gives  waits: seconds until each call may go, in the order of call_ids, null where it is not granted; soonest: the
--        same without the clock of tokens; returned_at_s: returned_s when it was granted; expected_s: the remaining
--        wait of a call that is not granted; refused: which of these would wait too long; request_s, token_s: how far
--        each granted call moved the clock of requests, and each of its tokens the other; returned_s: how far calls
--        have moved the clock of tokens back so far; epoch.
-- Raises BW404 if there is no such bucket.
-- Locks  the row of the bucket for one statement; the time is read after the lock is acquired. Then the row of the
--        client in quota_rounds.
--
-- Waiting calls are served in the order of the turns of their sites, across all processes: a round grants for all of
-- them, whichever process makes it. Calls are granted shortly before they may go, so that a call with an earlier turn
-- need not wait behind calls that came before it. A process learns in its next round what other processes have
-- granted to it; that round comes sooner than ahead_s.
--
-- The invariant. The provider's bucket is modelled like this: it refills at the limit, holds burst_s plus one call,
-- loses the estimate when a call starts, and is corrected by the real usage when that is reported. Whenever a call
-- starts, the bucket holds at least the estimate of that call. This is true for calls of any duration, for usage above
-- or below the estimates, and for any blocks and changes of the limits and of the pace in between. In
-- terms of the clock: it is never less ahead of now than what started calls have taken out of the provider's bucket
-- and not refilled, plus what granted calls are going to take out. So:
--
--   A call is charged as of its start, not as of its grant: the clock cannot run before that.
--   Usage beyond the estimate is charged as of the report, at the price of that time, as the provider charges it. A clock
--   that stood still meanwhile is moved to now first: the provider's bucket was full then, and gained nothing.
--   A refund moves the clock back no further than the provider's bucket had room for at the report: a bucket that was full
--   meanwhile, or becomes full before a granted call can start, keeps no credit. It counts at the lower of the price at
--   the grant and the present one, because a call that was charged fifty times as much at a fiftieth of the pace gives
--   back only its own tokens. While usage beyond an estimate is ahead, which may have been charged at the full pace, it
--   counts at the price of the full pace.
--   A refund moves up the calls that are granted, an excess delays them: as returned_s changes they go sooner or later
--   by as much.
--   A new epoch revokes what is granted and has not started: the clock of tokens goes back to where it was before the
--   first of those calls. So does a pace that differs much from the one at which calls were granted. Otherwise a moment
--   of trouble would leave sparse calls behind it, and a free minute dense ones. What was used beyond estimates stays.
--
-- Outside the invariant, because it cannot be known earlier: an excess counts from its report, and for a process from
-- its next round, at most half a second later. A call that waits for its request or a block, and not for tokens, is
-- delayed by the whole excess: it goes too late, by at most what it was granted ahead, and the next ones that much
-- closer to it. The places of calls that leave before they start go once more. For a provider that never corrects an
-- estimate, the pace follows what its headers say.
--
-- Spares: further calls that the process may start within seconds, without another round. They are counted when they are
-- granted. Only a bucket that counts no tokens has them, where no call waits, and while half of its burst is left.
--
-- A call moves the clock of tokens by at least the time of one request: otherwise calls of few tokens that waited for
-- that clock would all go at once. What that is more than its estimate is neither given back nor set off against
-- usage beyond the estimate: the provider never took it.
create function quota_round(
    bucket text, call_ids uuid[], turns double precision[], tokens integer[], waited_s double precision[],
    unused_tokens double precision[], unused_token_s double precision[],
    refund_requests_s double precision, refund_tokens_s double precision, refund_epoch integer,
    longest_wait_s double precision, ahead_s double precision,
    reported_s double precision[], reported_requests integer[], reported_tokens integer[], client_id uuid, number bigint,
    wanted_spares integer
)
returns table (
    waits double precision[], soonest double precision[], returned_at_s double precision[],
    expected_s double precision[], refused boolean[], request_s double precision[], token_s double precision[],
    returned_s double precision, epoch integer, spares integer
)
language plpgsql volatile as $$
#variable_conflict use_column
declare
    q quotas;
    was quotas;
    t timestamptz;
    cost record; -- of one request, and of one token, now
    earliest_at timestamptz;
    goes_at timestamptz;
    clock_at timestamptz;
    next_requests timestamptz;
    next_tokens timestamptz;
    a_request interval;
    pace double precision;
    under_way_s double precision;
    refund_s double precision;
    excess_s double precision;
    left_s double precision;
    crowded boolean;
    closed boolean := false; -- this round grants no more calls
    granted boolean := false; -- this round granted a call
    c record;
    place integer;
    slot bigint;
begin
    -- The row stays locked until the commit is over, and need not be on disk by then: a crash of the server may forget
    -- what was granted in its last moments.
    perform set_config('synchronous_commit', 'off', true);
    select * into q from quotas where quotas.name = bucket for update;
    if not found then
        raise exception 'no quota named %', bucket using errcode = 'BW404', hint = 'A worker creates its buckets.';
    end if;
    was := q;
    t := clock_timestamp();
    if
        cardinality(unused_tokens) > 0 or refund_requests_s <> 0 or refund_tokens_s <> 0 or cardinality(reported_s) > 0
    then
        insert into quota_rounds as r (client_id, number, at)
        values (quota_round.client_id, quota_round.number, t)
        on conflict (client_id) do update set number = excluded.number, at = excluded.at
        where r.number < excluded.number;
        if not found then
            unused_tokens := '{}';
            unused_token_s := '{}';
            refund_epoch := null;
            reported_s := '{}';
        end if;
    end if;
    pace := quota_pace(q, t);
    select k.request_s, k.token_s into cost from quota_cost(q, t) as k;
    a_request := make_interval(secs => cost.request_s);
    under_way_s := q.burst_s + greatest(cost.request_s, cost.token_s * q.line_tokens);
    select
        coalesce(array_agg(l.clock_at order by l.place), '{}'),
        coalesce(array_agg(l.soonest_at order by l.place), '{}')
    into q.line_clocks, q.line_soonest
    from unnest(q.line_clocks, q.line_soonest) with ordinality as l (clock_at, soonest_at, place)
    where greatest(l.soonest_at, l.clock_at - make_interval(secs => q.burst_s)) > t; -- the others have started
    if pace not between q.line_pace * 0.8 and q.line_pace * 1.25 then
        q.epoch := (q.epoch + 1) % 2000000000;
    end if;
    if q.line_epoch <> q.epoch then
        q.requests_clock := least(q.requests_clock, t + make_interval(secs => q.burst_s) + a_request);
        q.tokens_clock := least(
            q.tokens_clock,
            q.line_clocks[1], -- null, which least ignores, if every granted call has started
            greatest(t + make_interval(secs => under_way_s), q.excess_clock)
        );
        q.line_clocks := '{}';
        q.line_soonest := '{}';
        q.line_epoch := q.epoch;
        q.line_pace := pace;
        update quota_waits as w set starts_at = null where w.bucket = quota_round.bucket and w.starts_at > t;
    end if;
    if cardinality(unused_tokens) > 0 and cost.token_s > 0 then
        select
            coalesce(
                sum(
                    greatest(0, u.tokens)
                    * least(u.token_s, cost.token_s * case when q.excess_clock > t then pace else 1 end)
                ),
                0
            ),
            least(1e10, coalesce(sum(greatest(0, -u.tokens)) * cost.token_s, 0))
        into refund_s, excess_s
        from unnest(unused_tokens, unused_token_s) as u (tokens, token_s);
        select greatest(0, least(
            refund_s,
            extract(epoch from q.tokens_clock - t),
            min(extract(epoch from l.clock_at - greatest(t, l.soonest_at)))
        ))
        into refund_s
        from unnest(q.line_clocks, q.line_soonest) as l (clock_at, soonest_at);
        q.tokens_clock := least(
            case when excess_s > 0 then greatest(q.tokens_clock, t) else q.tokens_clock end
            + make_interval(secs => excess_s - refund_s),
            t + interval '1000 years'
        );
        q.line_clocks := array(
            select least(
                case when excess_s > 0 then greatest(l.clock_at, t) else l.clock_at end
                + make_interval(secs => excess_s - refund_s),
                t + interval '1000 years'
            )
            from unnest(q.line_clocks) with ordinality as l (clock_at, place)
            order by l.place
        );
        if excess_s > 0 then
            q.excess_clock := greatest(q.excess_clock, coalesce(q.line_clocks[1], q.tokens_clock));
        end if;
        q.returned_s := greatest(-1e15, least(1e15, q.returned_s + refund_s - excess_s));
    end if;
    if refund_epoch = q.epoch then
        q.requests_clock := q.requests_clock - make_interval(secs => refund_requests_s);
        q.tokens_clock := q.tokens_clock - make_interval(secs => refund_tokens_s);
    end if;
    slot := quota_slot(t);
    q.slot_requests := quota_moved_on(q.slot_requests, q.newest_slot, slot);
    q.slot_tokens := quota_moved_on(q.slot_tokens, q.newest_slot, slot);
    q.newest_slot := greatest(q.newest_slot, slot);
    for nth in 1 .. cardinality(reported_s) loop
        place := 1 + q.newest_slot - quota_slot(t - make_interval(secs => reported_s[nth]));
        if place <= 13 then
            q.slot_requests[place] := quota_counted(q.slot_requests[place], reported_requests[nth]);
            q.slot_tokens[place] := quota_counted(q.slot_tokens[place], reported_tokens[nth]);
        end if;
    end loop;

    crowded := exists (select from quota_waits as w where w.bucket = quota_round.bucket);
    if crowded then
        -- Forget calls that this process no longer waits for, and all calls of processes that stopped asking. What was
        -- granted to them and not used is given back.
        with forgotten as (
            delete from quota_waits as w
            where
                w.bucket = quota_round.bucket
                and (
                    (w.client_id = quota_round.client_id and w.call_id <> all (call_ids))
                    or w.seen_at < t - interval '5 seconds'
                )
            returning w.tokens, w.starts_at, w.request_s, w.token_s
        )

        select
            q.requests_clock - make_interval(secs => coalesce(sum(f.request_s), 0)),
            q.tokens_clock - make_interval(secs => coalesce(
                sum(greatest(f.request_s, f.token_s * f.tokens)) filter (where f.token_s > 0), 0
            ))
        into q.requests_clock, q.tokens_clock
        from forgotten as f
        where f.starts_at is not null;
    end if;
    waits := array_fill(null::double precision, array[cardinality(call_ids)]);
    soonest := waits;
    returned_at_s := waits;
    expected_s := waits;
    request_s := waits;
    token_s := waits;
    refused := array_fill(false, array[cardinality(call_ids)]);
    next_requests := q.requests_clock;
    next_tokens := q.tokens_clock;
    for c in
        select
            coalesce(a.call_id, w.call_id) as call_id,
            coalesce(w.turn, a.turn) as turn,
            coalesce(w.tokens, a.tokens) as tokens,
            coalesce(w.asked_at, t - make_interval(secs => a.waited_s)) as asked_at,
            w.call_id is not null as waits_already,
            w.starts_at,
            w.soonest_at,
            w.returned_s,
            w.request_s,
            w.token_s,
            a.place
        from unnest(call_ids, turns, tokens, waited_s) with ordinality as a (call_id, turn, tokens, waited_s, place)
        full join (select * from quota_waits as v where crowded and v.bucket = quota_round.bucket) as w
            on w.call_id = a.call_id
        order by turn, asked_at, a.place
    loop
        if c.starts_at is not null then -- granted by an earlier round
            if c.place is not null then
                waits[c.place] := greatest(1e-6, extract(epoch from c.starts_at - t)); -- 0: counted when granted
                soonest[c.place] := greatest(0, extract(epoch from c.soonest_at - t));
                returned_at_s[c.place] := c.returned_s;
                request_s[c.place] := c.request_s;
                token_s[c.place] := c.token_s;
                delete from quota_waits as w where w.call_id = c.call_id;
            end if;
            continue;
        end if;
        earliest_at := greatest(t, q.blocked_until, next_requests - make_interval(secs => q.burst_s));
        goes_at := greatest(
            earliest_at, case when cost.token_s > 0 then next_tokens - make_interval(secs => q.burst_s) end
        );
        left_s := extract(epoch from goes_at - t);
        closed := closed or left_s > ahead_s;
        if closed and left_s + extract(epoch from t - c.asked_at) > longest_wait_s then -- refused
            if c.place is not null then
                refused[c.place] := true;
                expected_s[c.place] := left_s;
                if c.waits_already then
                    delete from quota_waits as w where w.call_id = c.call_id;
                end if;
            end if;
            continue;
        end if;
        next_requests := greatest(next_requests, t, q.blocked_until) + a_request;
        clock_at := next_tokens;
        if cost.token_s > 0 then
            next_tokens := greatest(next_tokens, goes_at)
                + greatest(make_interval(secs => cost.token_s * c.tokens), a_request);
        end if;
        if closed then
            if c.place is not null then
                expected_s[c.place] := left_s;
                insert into quota_waits as w (call_id, bucket, client_id, turn, tokens, asked_at, seen_at)
                values (
                    c.call_id, bucket, quota_round.client_id, c.turn, c.tokens,
                    c.asked_at + c.place * interval '1 microsecond', t -- keeps the order for rounds of other processes
                )
                on conflict (call_id) do update set seen_at = excluded.seen_at;
            end if;
            continue;
        end if;
        if cost.token_s > 0 then
            q.line_tokens := greatest(c.tokens, case when q.tokens_clock > t then q.line_tokens end);
            q.tokens_clock := next_tokens;
            if left_s > 0 then
                q.line_clocks := q.line_clocks || clock_at;
                q.line_soonest := q.line_soonest || earliest_at;
            end if;
        end if;
        q.requests_clock := next_requests;
        granted := true;
        if left_s <= 0 and c.place is not null then
            q.slot_requests[1] := quota_counted(q.slot_requests[1], 1);
            q.slot_tokens[1] := quota_counted(q.slot_tokens[1], c.tokens);
        end if;
        if c.place is not null then
            waits[c.place] := left_s;
            soonest[c.place] := extract(epoch from earliest_at - t);
            returned_at_s[c.place] := q.returned_s;
            request_s[c.place] := cost.request_s;
            token_s[c.place] := cost.token_s;
            if c.waits_already then
                delete from quota_waits as w where w.call_id = c.call_id;
            end if;
        else
            update quota_waits as w
            set
                starts_at = goes_at,
                soonest_at = earliest_at,
                returned_s = q.returned_s,
                request_s = cost.request_s,
                token_s = cost.token_s
            where w.call_id = c.call_id;
        end if;
    end loop;
    spares := 0;
    while
        spares < wanted_spares
        and cost.token_s = 0
        and granted
        and not closed
        and not crowded
        and q.requests_clock < t + make_interval(secs => q.burst_s / 2)
        and coalesce(q.blocked_until <= t, true)
    loop
        q.requests_clock := greatest(q.requests_clock, t) + a_request;
        q.slot_requests[1] := quota_counted(q.slot_requests[1], 1);
        spares := spares + 1;
    end loop;
    if (q.requests_clock, q.tokens_clock, q.line_epoch) is distinct from
        (was.requests_clock, was.tokens_clock, was.line_epoch) or granted or cardinality(reported_s) > 0
    then
        q.updated_at := t;
        update quotas
        set
            requests_clock = q.requests_clock,
            tokens_clock = q.tokens_clock,
            returned_s = q.returned_s,
            epoch = q.epoch,
            line_epoch = q.line_epoch,
            line_pace = q.line_pace,
            line_tokens = q.line_tokens,
            line_clocks = q.line_clocks,
            line_soonest = q.line_soonest,
            excess_clock = q.excess_clock,
            newest_slot = q.newest_slot,
            slot_requests = q.slot_requests,
            slot_tokens = q.slot_tokens,
            updated_at = q.updated_at
        where quotas.name = bucket;
    end if;
    epoch := q.epoch;
    returned_s := q.returned_s;
    return next;
end
$$;

-- The limiter at a glance, for the whole fleet, one row for each bucket. queue_length: calls that have a slot of a
-- live worker and wait for their quota, as of its last extension of the lease. The limits are those in force: our
-- own, or the provider's where that is lower. tokens: null where the provider counts none.
create view v_quotas as
select
    q.name,
    q.provider,
    (
        select coalesce(sum(json_number(w.stats #> array['waiting', q.name], 1000)), 0)::integer
        from workers as w
        where w.lease_until > now()
    ) as queue_length,
    n.requests as requests_in_last_minute,
    m.requests as max_requests,
    round(100.0 * n.requests / m.requests, 1)::double precision as requests_percent,
    n.tokens as tokens_in_last_minute,
    m.tokens as max_tokens,
    round(100.0 * n.tokens / m.tokens, 1)::double precision as tokens_percent,
    quota_pace(q, u.t) as pace,
    greatest(extract(epoch from q.requests_clock - u.t), 0)::double precision as requests_ahead_s,
    greatest(extract(epoch from q.tokens_clock - u.t), 0)::double precision as tokens_ahead_s,
    greatest(extract(epoch from q.blocked_until - u.t), 0)::double precision as blocked_s,
    q.pinned,
    q.requests_per_minute,
    q.tokens_per_minute,
    q.reported_requests_per_minute,
    q.reported_tokens_per_minute
from quotas as q
cross join lateral (select clock_timestamp() as t) as c
cross join lateral (
    select
        c.t,
        quota_last_minute(q.slot_requests, q.newest_slot, c.t) as requests,
        case when q.tokens_per_minute is not null then quota_last_minute(q.slot_tokens, q.newest_slot, c.t) end as tokens
) as u
cross join lateral (
    select
        least(q.requests_per_minute, q.reported_requests_per_minute) as requests,
        case
            when q.tokens_per_minute is not null then least(q.tokens_per_minute, q.reported_tokens_per_minute)
        end as tokens
) as m
cross join lateral (
    select
        quota_shown(u.requests, m.requests, q.burst_s) as requests,
        quota_shown(u.tokens, m.tokens, q.burst_s) as tokens
) as n;

-- Circuit breakers: one per provider, shared by the fleet.
--
--   closed --five strikes, or our key, credit or model refused--> open --retry_at has come--> half_open
--     ^------------------- the probe succeeds ----------------------- <--------------------------'  |
--                                                             open  <--- it fails: a longer pause --'
--
-- A strike is a call that failed because of the provider. A success removes one strike (a one-sided CUSUM, Page 1954). So a
-- provider that fails a tenth of its calls stays in service, the breaker of one that fails half of them opens after
-- about twenty, of one that fails all of them after five, or after three if no call has succeeded lately, as on a
-- slow worker. Where each call belongs to a site, a site has one strike at most while another site is served: failures of
-- five sites in a row are the provider's trouble, those of one site are not. A person closes a breaker with: update
-- provider_health set state = 'closed' where provider = 'openai';

create table provider_health (
    provider text primary key,
    state text not null default 'closed' check (state in ('closed', 'open', 'half_open')),
    reason text,
    misconfigured boolean not null default false, -- open for our key, credit or model: a person has to act
    -- Since it opened, a main call was refused: the text of a post, a picture, a draft. The success of a lesser call
    -- (ideas, a look, a product) says nothing about those.
    refused_main boolean not null default false,
    opened_at timestamptz,
    opened_by uuid, -- the report that last opened it
    openings integer not null default 0, -- since it was closed: the pause grows with them
    epoch integer not null default 0, -- how often it went from closed to open, ever
    retry_at timestamptz,

    struck text[] not null default '{}', -- the site of each strike, the oldest first; null: the provider has no sites
    strikes integer not null generated always as (cardinality(struck)) stored,
    succeeded_at timestamptz not null default to_timestamp(0),
    succeeded_site text, -- of the last reported success; null: the provider has no sites

    probe uuid, -- the one call that may go through
    probe_until timestamptz, -- then another may replace it: its worker has exited

    by_hand text check (by_hand in ('opened', 'closed')), -- by a person; until a worker has logged it
    open_s double precision check (open_s between 0 and 1e12), -- how long it was open before a person closed it
    updated_at timestamptz not null default now(),

    constraint probed_exactly_while_half_open check ((state = 'half_open') = (probe is not null)),
    constraint texts_are_bounded check (
        length(provider) <= 200 and length(reason) <= 10000 and cardinality(struck) <= 10000
    ),
    constraint counts_can_be_incremented check (
        openings between 0 and 1000000000 and epoch between 0 and 2000000000
    ),
    constraint times_are_date_times check (
        least(opened_at, retry_at, updated_at, succeeded_at, probe_until) >= '0001-01-01 00:00:00+00'
        and greatest(opened_at, retry_at, updated_at, succeeded_at, probe_until) <= '9999-12-31 23:59:59.999999+00'
    )
) with (fillfactor = 10);

insert into provider_health (provider) values ('openai'), ('replicate'), ('wix');

create trigger replace_seeded_row before insert on provider_health
for each row when (restoring()) execute function replace_seeded_row('provider');

-- How long an open breaker waits before its next probe. A provider that recovers is noticed within five seconds; our
-- own credit or key does not recover by itself.
create function breaker_pause(openings integer, misconfigured boolean) returns interval language sql immutable as $$
    select case
        when misconfigured then make_interval(secs => least(60, 5 * 2 ^ least(openings - 1, 10)))
        else make_interval(secs => least(5, 2 ^ least(openings - 1, 10)))
    end
$$;

-- A breaker that is closed, also by a person, forgets its past and wakes the workers.
create function provider_health_closed() returns trigger language plpgsql as $$
begin
    new.reason := null;
    new.misconfigured := false;
    new.refused_main := false;
    new.struck := '{}';
    new.succeeded_at := clock_timestamp();
    new.openings := 0;
    new.opened_at := null;
    new.retry_at := null;
    new.probe := null;
    new.probe_until := null;
    new.updated_at := clock_timestamp();
    perform wake_workers();
    return new;
end
$$;

create trigger closed before update on provider_health
for each row when (old.state <> 'closed' and new.state = 'closed') execute function provider_health_closed();

-- A person, in psql or with `blogworker breakers close`, writes only the state; reports and probes write other
-- columns too.
create function provider_health_by_hand() returns trigger language plpgsql as $$
begin
    if new.state = 'open' then
        new.by_hand := 'opened';
        new.open_s := null;
        new.opened_at := coalesce(new.opened_at, clock_timestamp());
        new.updated_at := clock_timestamp();
    else
        new.by_hand := 'closed';
        new.open_s := coalesce(extract(epoch from clock_timestamp() - old.opened_at), 0);
    end if;
    return new;
end
$$;

create trigger by_hand before update on provider_health
for each row when (
    (old.state = 'closed') <> (new.state = 'closed')
    and new.opened_by is not distinct from old.opened_by
    and new.probe is not distinct from old.probe
)
execute function provider_health_by_hand();

-- Counts what one process has seen of a provider since its last report: failures, and the successes before them.
-- Takes  failed: the site of each failure, succeeded: that of the last success, null where the provider has no sites;
--        refused: one of the failures was about our key, credit or model, which opens at once; main: that was a main
--        call; report: a new id for each report, the same one when it is sent again because its answer was lost.
-- Gives  whether this very report opened the breaker: true to one caller in the fleet.
-- Locks  the row of the provider for one statement.
create function breaker_report(
    name text, successes integer, succeeded text, failed text[], refused boolean, main boolean, why text, report uuid
)
returns boolean language plpgsql volatile as $$
declare
    h provider_health;
    t timestamptz;
    lately boolean;
begin
    select * into h from provider_health as p where p.provider = name for no key update;
    t := clock_timestamp();
    if not found or h.opened_by = report then
        return found;
    end if;
    if h.state <> 'closed' then
        return false; -- only its probe closes an open breaker; calls that began before it opened say nothing new
    end if;
    h.struck := h.struck[successes + 1:];
    if successes > 0 then
        h.succeeded_at := t;
        h.succeeded_site := succeeded;
    end if;
    lately := h.succeeded_at >= t - interval '30 seconds';
    if lately and h.succeeded_site <> all (h.struck || failed) then -- another site is served, no failure since
        failed := array(select distinct f.site from unnest(failed) as f (site) where f.site <> all (h.struck));
    end if;
    h.struck := h.struck || failed;
    if refused or cardinality(h.struck) >= 5 or (cardinality(h.struck) >= 3 and not lately) then
        update provider_health as p
        set
            state = 'open',
            reason = why,
            misconfigured = refused,
            refused_main = main,
            struck = h.struck,
            succeeded_at = h.succeeded_at,
            succeeded_site = h.succeeded_site,
            opened_at = t,
            opened_by = report,
            retry_at = t + breaker_pause(1, refused),
            openings = 1,
            epoch = (h.epoch + 1) % 2000000000,
            updated_at = t
        where p.provider = name;
        return true;
    end if;
    update provider_health as p
    set struck = h.struck, succeeded_at = h.succeeded_at, succeeded_site = h.succeeded_site, updated_at = t
    where p.provider = name;
    return false;
end
$$;

-- Ends a probe. Does nothing if the probe has been replaced meanwhile, or a person has closed the breaker.
-- Takes  verdict: 'alive' closes; 'down' waits longer than the last time; 'unused': it was never sent, or proves
--        nothing; refused, main: as above.
-- Gives  the seconds for which the breaker had been open when this closed it; null: it did not close it.
-- Locks  the row of the provider for one statement.
create function breaker_end_probe(probed uuid, verdict text, refused boolean, main boolean, why text)
returns double precision language plpgsql volatile as $$
declare
    h provider_health;
    t timestamptz;
begin
    select * into h from provider_health as p where p.probe = probed for no key update;
    if not found then
        return null;
    end if;
    t := clock_timestamp();
    if verdict = 'alive' then
        update provider_health as p set state = 'closed', probe = null where p.provider = h.provider;
        return extract(epoch from t - h.opened_at);
    end if;
    if verdict = 'down' then
        h.openings := case when h.misconfigured = refused then least(1000000000, h.openings + 1) else 1 end;
        h.reason := why;
        h.misconfigured := refused;
        h.refused_main := h.refused_main or main;
        h.retry_at := t + breaker_pause(h.openings, refused);
    else
        h.retry_at := t + interval '1 second';
    end if;
    update provider_health as p
    set
        state = 'open',
        probe = null,
        probe_until = null,
        openings = h.openings,
        reason = h.reason,
        misconfigured = h.misconfigured,
        refused_main = h.refused_main,
        retry_at = h.retry_at,
        updated_at = t
    where p.provider = h.provider;
    return null;
end
$$;

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

-- The gate: how many jobs may be claimed now, by the quotas that all sites share.
--
-- A waiting job waits in the line, PENDING, and not in the slot of a worker: a claim takes only what can start.

-- Stages that a person has paused for all sites: no job is claimed for them, and a running job stops before them.
create table stage_pauses (
    stage text primary key check (stage in ('source', 'ideas', 'content', 'image', 'publish')),
    reason text not null check (length(reason) <= 2000),
    paused_at timestamptz not null default now()
);

-- What a job takes of each bucket. Takes, in the order of the stages: the bucket of each stage's call, null: none;
-- the tokens reserved for it.
-- Gives  for each bucket: calls of a job; blog_s: the time in which the bucket lets one more job through; request_s
--        and token_s: how far one of each moves its clocks, a token by what calls of the last minute used of what was
--        reserved; ahead_s: see quota_ahead_s.
create function bucket_needs(buckets text[], tokens integer[], t timestamptz)
returns table (
    bucket text, calls integer, blog_s double precision, request_s double precision, token_s double precision,
    ahead_s double precision
) language sql stable as $$
    select
        q.name,
        n.calls,
        greatest(n.calls * k.request_s, n.tokens * k.token_s * u.used),
        k.request_s,
        k.token_s * u.used,
        quota_ahead_s(q, t)
    from (
        select s.bucket, count(*)::integer as calls, sum(s.tokens)::double precision as tokens
        from unnest(buckets, tokens) as s (bucket, tokens)
        where s.bucket is not null
        group by s.bucket
    ) as n
    join quotas as q on q.name = n.bucket
    cross join lateral quota_cost(q, t) as k
    cross join lateral (
        select
            least(
                1.25,
                greatest(
                    0.25, coalesce(sum(c.tokens) / nullif(sum(c.requests), 0) / nullif(n.tokens / n.calls, 0), 1)
                )
            ) as used
        from unnest(q.slot_requests, q.slot_tokens) as c (requests, tokens)
    ) as u
$$;

-- How many jobs may be claimed now.
-- Takes  buckets, tokens: as bucket_needs; buckets null: there are no quotas; leads: seconds from the claim of a new
--        job to the call of each stage; patience_s: the longest that a claimed job may wait for a quota.
-- Gives  for each stage: line, its number; bucket, null: its calls need none that all sites share; calls: how many
--        jobs at it would get their call within half of the patience, null: any; starts: for the first stage, how
--        many new jobs may start, null: any.
--
-- A new job may start when every quota that it will need lets it through in time. As many jobs are on their way to
-- a bucket as it lets through in the time that one of them needs to get there, and a few more wait for it, so that it
-- never idles. When one passes, another starts. This limits the work in progress (CONWIP; Spearman, Woodruff and Hopp
-- 1990), which follows the pace of the narrowest quota by itself.
--
-- In PL/pgSQL, a worker's session keeps one plan (begin_session.sql). As an SQL function, and in a session that may
-- choose custom plans, it is planned again for each claim, which takes a millisecond.
--
-- Half of the patience, so that jobs that go on to their next stage find room beside those claimed at it.
create function stage_rooms(
    buckets text[], tokens integer[], leads double precision[], patience_s double precision, t timestamptz
)
returns table (line smallint, stage text, bucket text, calls integer, starts integer) language plpgsql stable as $$
#variable_conflict use_column
begin
    if buckets is null then
        return query
        select (n - 1)::smallint, s.stage, null::text, null::integer, null::integer
        from unnest(array['source', 'ideas', 'content', 'image', 'publish']) with ordinality as s (stage, n);
        return;
    end if;
    return query
    with needs as materialized (select * from bucket_needs(buckets, tokens, t)),

    stages as (
        select
            (n - 1)::smallint as line,
            s.stage,
            case when n = 1 then buckets[2] else buckets[n] end as bucket, -- a source is read for the ideas
            case when n = 1 then tokens[2] else tokens[n] end as tokens,
            leads[n] as lead_s,
            (select count(*) from generate_series(2, n - 1) as m where buckets[m] = buckets[n]) as calls_before
        from unnest(array['source', 'ideas', 'content', 'image', 'publish']) with ordinality as s (stage, n)
    ),

    -- fresh: claimed a moment ago, so that they may not have asked for their quota yet.
    under_way as (
        select
            stage_number(g.stage) as line,
            count(*) as jobs,
            count(*) filter (where g.claimed_at > t - make_interval(secs => patience_s / 10)) as fresh
        from blog_generations as g
        where g.status = 'PROCESSING'
        group by 1
    ),

    -- Jobs of a paused site, and jobs beyond the cap of their site, cannot run, and must not keep others from starting.
    part_done as (
        select p.line, count(*) as jobs
        from (
            select
                f.line, f.max_in_flight, row_number() over (partition by f.instance_id order by f.line desc) as nth
            from (
                select g.instance_id, g.line, o.max_in_flight
                from blog_generations as g
                cross join lateral (
                    select s.paused_at, s.max_in_flight from sites as s where s.instance_id = g.instance_id limit 1
                ) as o -- by the primary key: for a join the planner scans all sites
                where
                    g.status = 'PENDING' and g.line between 1 and 3 and o.paused_at is null
                limit 1000
            ) as f
        ) as p
        where p.max_in_flight is null or p.nth <= p.max_in_flight
        group by p.line
    ),

    waiting as (
        select w.bucket, count(*) as calls
        from quota_waits as w
        where w.starts_at is null and w.seen_at > t - interval '5 seconds' -- its process still asks, see quota_round
        group by w.bucket
    ),

    rooms as (
        select
            s.line,
            s.stage,
            s.bucket,
            case
                when n.bucket is null then null
                when n.ahead_s >= patience_s / 2 then 0
                else greatest(
                    0,
                    ceil((patience_s / 2 - n.ahead_s) / greatest(n.request_s, s.tokens * n.token_s))
                    - coalesce(w.calls, 0)
                    - coalesce(
                        (
                            select sum(u.fresh)
                            from under_way as u
                            join stages as o using (line)
                            where o.bucket = s.bucket
                        ),
                        0
                    )
                )
            end as calls,
            case
                when n.bucket is null then null
                else ceil((s.lead_s + 0.6 * patience_s) / n.blog_s)
                    + s.calls_before -- one more waits for a call of its own in the same bucket
                    - coalesce((select sum(u.jobs) from under_way as u where u.line < s.line), 0)
                    - coalesce((select sum(p.jobs) from part_done as p where p.line <= s.line), 0)
                    - coalesce((select u.fresh from under_way as u where u.line = s.line), 0)
                    - coalesce(w.calls, 0)
            end as starts
        from stages as s
        left join needs as n using (bucket)
        left join waiting as w using (bucket)
    )

    select
        r.line,
        r.stage,
        r.bucket,
        least(r.calls, 1000000)::integer,
        case
            when r.line = 0 then (
                select greatest(0, least(min(o.starts), 1000000))::integer from rooms as o where o.line > 0
            )
        end
    from rooms as r;
end
$$;

-- Waiting: why each job waits, until when, and how long a new one will.

-- What the live workers need, as one of them wrote it into its row (Gate.needs).
-- Gives  buckets, tokens: of the calls of ideas, content and image, and what is reserved for each; blog_s: seconds of
--        a job; site_rpm: calls a minute to one site, null: none are made; site_calls: those of one job; slots: of
--        all workers. No row while no worker is alive.
create function fleet_needs(
    out buckets text[], out tokens integer[], out blog_s double precision, out site_rpm double precision,
    out site_calls double precision, out slots bigint
) returns setof record language sql stable as $$
    select
        array(select b.value from jsonb_array_elements_text(w.stats #> '{needs,buckets}') as b),
        array(select json_number(b.value, 1000000)::integer from jsonb_array_elements(w.stats #> '{needs,tokens}') as b),
        json_number(w.stats #> '{needs,blog_s}', 86400),
        json_number(w.stats #> '{needs,site_rpm}', 2147483647),
        json_number(w.stats #> '{needs,site_calls}', 1000),
        (select sum(o.concurrency) from workers as o where o.lease_until > now() and not o.draining)
    from workers as w
    where
        w.lease_until > now()
        and jsonb_typeof(w.stats #> '{needs,buckets}') = 'array'
        and jsonb_typeof(w.stats #> '{needs,tokens}') = 'array'
    order by w.draining, w.name
    limit 1
$$;

-- Everything that waits, which is what counts against the limits of the queue: why, and until when, where that is
-- known; also: the reasons after the first. What its owner put off (SCHEDULED) does not count as waiting.
create view v_waiting as
-- The workers that claim, and the stages that each of them runs; null, or no array: all.
with claimers as (
    select w.stats #> '{needs,stages}' as stages
    from workers as w
    where
        w.lease_until > now()
        and not w.draining
        and not exists (select from quiet_workers as q where q.name = w.name)
),

-- What a claim at each stage depends on: the provider whose breaker counts, and the bucket of its call.
stages as (
    select
        v.stage,
        coalesce(split_part(v.bucket, '/', 1), v.provider) as provider,
        v.bucket,
        now() + make_interval(secs => least(1e9, quota_ahead_s(q, now()))) as goes_at,
        case
            when not exists (select from claimers) then 'no live worker claims jobs'
            when not exists (
                select from claimers as c where coalesce(c.stages ? v.stage or jsonb_typeof(c.stages) <> 'array', true)
            ) then format('no live worker runs stage %s', v.stage)
        end as unserved
    from (
        values
        ('source', 'openai', (select n.buckets[1] from fleet_needs() as n)),
        ('ideas', 'openai', (select n.buckets[1] from fleet_needs() as n)),
        ('content', 'openai', (select n.buckets[2] from fleet_needs() as n)),
        ('image', 'replicate', (select n.buckets[3] from fleet_needs() as n)),
        ('publish', 'wix', null)
    ) as v (stage, provider, bucket)
    left join quotas as q on q.name = v.bucket
)

select
    g.id,
    g.instance_id,
    g.stage,
    g.created_at,
    coalesce(r.kind, 'line') as kind,
    coalesce(r.reason, 'in line') as reason,
    r.until,
    coalesce(r.also, '{}') as also
from blog_generations as g
join sites as s using (instance_id)
join stages as t using (stage)
left join provider_health as h on h.provider = t.provider and h.state <> 'closed'
left join stage_pauses as p on p.stage = g.stage
left join fleet_budget as b on b.stopped_until > now() and g.stage <> 'publish'
left join quotas as o on g.stage = 'publish' and o.name = 'wix/' || g.instance_id
left join lateral (
    select
        c.kind,
        c.reason,
        c.until,
        array_agg(c.reason) over (order by c.n rows between 1 following and unbounded following) as also
    from (
        values
        (
            1,
            'rest',
            g.line is null,
            coalesce(
                'backs off: ' || regexp_replace(
                    regexp_replace(g.error, ', request_id [^ ,)]+', ''), '^(.{99}).{2,}$', '\1…'
                ),
                'not due yet'
            ), -- without the request id, so that equal reasons count as one
            g.run_at
        ),
        (2, 'pause', s.paused_at is not null, 'its site is paused: ' || coalesce(s.pause_reason, 'no reason given'), s.resume_at),
        (3, 'stage_pause', p.stage is not null, format('stage %s is paused: %s', p.stage, p.reason), null),
        (4, 'unserved', t.unserved is not null, t.unserved, null),
        (5, 'budget', b.one is not null, b.stop_reason, b.stopped_until),
        (
            6,
            'breaker',
            h.provider is not null,
            format('the circuit breaker of %s is open: %s', h.provider, coalesce(h.reason, 'no reason given')),
            h.retry_at
        ),
        (7, 'quota', t.goes_at > now() + interval '2 seconds', format('the quota %s is used up', t.bucket), t.goes_at),
        (
            8,
            'site_quota',
            quota_ahead_s(o, now()) > 2,
            'the quota of its site is used up',
            now() + make_interval(secs => least(1e9, quota_ahead_s(o, now())))
        ),
        (9, 'cap', s.at_cap, 'its site has reached its limit of running jobs', s.capped_until),
        (10, 'suspect', g.line = -1, 'suspected of killing its worker: it runs alone', null)
    ) as c (n, kind, holds, reason, until)
    where c.holds
    order by c.n
    limit 1
) as r on true
where g.status = 'PENDING';

-- Estimates ----------------------------------------------------------------------------------------------------------

-- Jobs a minute that the live workers can make of what waits, by the narrowest of: the quotas, their slots, the Wix
-- quotas of so many sites. Null: no worker is alive.
create function fleet_capacity(for_sites bigint) returns double precision language sql stable as $$
    select
        least(
            (select min(60 / f.blog_s) from bucket_needs(n.buckets, n.tokens, clock_timestamp()) as f),
            n.slots * 60 / nullif(n.blog_s, 0),
            greatest(for_sites, 1) * nullif(n.site_rpm, 0) / nullif(n.site_calls, 0)
        )
    from fleet_needs() as n
$$;

-- Seconds until the most blocked of the quotas that jobs need lets a call go.
create function fleet_blocked_s() returns double precision language sql stable as $$
    select coalesce(
        (
            select max(extract(epoch from q.blocked_until - clock_timestamp()))::double precision
            from fleet_needs() as n
            join quotas as q on q.name = any (n.buckets)
            where q.blocked_until > clock_timestamp()
        ),
        0
    )
$$;

-- Jobs a minute to expect: what the fleet can make. If the jobs that ended lately had waited for it, the fleet was
-- busy, and the pace is what it really made. 50 if neither is known.
create function blogs_per_minute() returns double precision language sql stable as $$
    select
        case
            when c.capacity is null then coalesce(nullif(m.a_minute, 0), 50)
            when m.ended >= 20 and m.waited_s > 60 then greatest(0.001, least(m.a_minute, 1.5 * c.capacity))
            else greatest(0.001, c.capacity) -- not 0: it is a divisor
        end
    from (select fleet_capacity(waiting_sites(1000)) as capacity) as c
    cross join (
        select
            count(*) as ended,
            60 * count(*) / greatest(1, extract(epoch from clock_timestamp() - min(l.finished_at)))::double precision
                as a_minute,
            percentile_cont(0.5) within group (order by extract(epoch from l.claimed_at - l.created_at)) as waited_s
        from (
            select g.finished_at, g.claimed_at, g.created_at
            from blog_generations as g
            where g.finished_at > now() - interval '10 minutes'
            order by g.finished_at desc
            limit 200
        ) as l
    ) as m
$$;

create function estimated_wait_minutes(queue_size bigint) returns integer language sql stable as $$
    select least(1000000, ceil(queue_size / blogs_per_minute() + fleet_blocked_s() / 60))::integer
$$;

-- Seconds until the job at this place of its site starts: first what is blocked goes on, then each round serves one
-- job of each site in line, its own included even if it is not in line yet. A site is served no faster than its own
-- Wix quota lets its jobs out.
create function expected_wait_s(place integer) returns double precision language sql stable as $$
    select
        least(1e9, fleet_blocked_s())
        + least(1e9, 60 * greatest(
            least(place * greatest(sites_in_line(1000), 1), greatest(pending_count(10000), place)) / blogs_per_minute(),
            coalesce((select (place - 1) * n.site_calls / nullif(n.site_rpm, 0) from fleet_needs() as n), 0)
        ))
$$;

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

-- Intake: the one way in for SQL, CLI, Python and HTTP, with the limits that all of them meet.

-- One row: how many waited when they were last counted, at most a second ago, and the newest job then. With what has
-- come since, producers need not count ten thousand rows for each job. They count if there is no fresh figure, or it
-- leaves no room.
create table queue_gauge (
    one boolean primary key default true check (one),
    pending bigint not null default 0,
    newest bigint not null default 0,
    counted_at timestamptz not null default to_timestamp(0),

    constraint counts_are_bounded check (pending between 0 and 1e15 and newest between 0 and 9223372036854775807),
    constraint times_are_date_times check (
        counted_at between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    )
) with (fillfactor = 10);

insert into queue_gauge default values;

create trigger replace_seeded_row before insert on queue_gauge
for each row when (restoring()) execute function replace_seeded_row('one');

-- Limits -------------------------------------------------------------------------------------------------------------

-- A limit from a setting, at most 2147483647. Null where it is not a number from 0 on: then the default holds, because
-- an error here would stop every insert.
create function limit_in(setting text) returns integer language sql immutable as $$
    select case when setting ~ '^\s*[0-9]{1,100}\s*$' then least(2147483647, setting::numeric)::integer end
$$;

-- The limit in force: the caller's own, else that of its session, else that of the database (`alter database d set
-- blogworker.queue_size_limit = n`), else 10,000. A role that may not update sites can lower it but not raise it
-- above the database's: the setting of a session is not trusted, because any role can change it.
create function queue_size_limit(own integer) returns integer language plpgsql stable as $$
declare
    caller name := case
        when current_setting('role') = 'none' then session_user else current_setting('role')::name
    end; -- not current_user: that is the owner while a security definer function calls this
    wanted integer := coalesce(own, limit_in(current_setting('blogworker.queue_size_limit', true)));
    given integer;
begin
    if has_any_column_privilege(caller, 'sites'::regclass, 'UPDATE') then
        return coalesce(wanted, 10000);
    end if;
    select limit_in(split_part(c.setting, '=', 2)) into given
    from pg_db_role_setting as s
    join pg_database as d on d.datname = current_database() and s.setdatabase in (d.oid, 0)
    cross join unnest(s.setconfig) as c (setting)
    where s.setrole = 0 and split_part(c.setting, '=', 1) = 'blogworker.queue_size_limit'
    order by s.setdatabase desc
    limit 1;
    return least(wanted, coalesce(given, 10000));
end
$$;

-- Raises BW503 with a JSON detail. site null: the queue is full.
create function refuse_blogs(site text, waiting bigint, coming bigint, most integer) returns void
language plpgsql stable as $$
begin
    raise exception
        '% is full: % would wait, at most % may', coalesce('site ' || site, 'the queue'), waiting + coming, most
    using
        errcode = 'BW503',
        detail = json_strip_nulls(json_build_object(
            'queueSize', waiting, 'limit', most, 'instanceId', site,
            'estimatedWaitMinutes', estimated_wait_minutes(waiting)
        )),
        hint = case
            when site is null
                then 'Try again later, or raise the limit: alter database d set blogworker.queue_size_limit = n'
            else 'Try again later, or raise the max_pending of the site.'
        end;
end
$$;

-- Raises BW503 when more jobs of a site would wait than its max_pending.
-- Takes  for_sites and counts, same order: how many more are meant for each.
-- Hints  As announce_sites: planned for 3 sites, it reads all 20,000 at each call.
create function require_site_room(for_sites text[], counts bigint[]) returns void language plpgsql volatile
set enable_seqscan = off set jit = off as $$
declare
    site record;
    before bigint;
begin
    for site in
        select s.instance_id, s.max_pending, i.incoming, w.waiting
        from unnest(for_sites, counts) as i (instance_id, incoming)
        join sites as s using (instance_id)
        cross join lateral (
            select count(*) as waiting
            from (
                select
                from blog_generations as g
                where g.instance_id = s.instance_id and g.status = 'PENDING'
                limit s.max_pending::bigint + 1
            ) as p
        ) as w
        where s.max_pending is not null
    loop
        if site.waiting + site.incoming > site.max_pending then
            before := least(site.waiting, site.max_pending); -- called after the insert, the count includes the new ones
            perform refuse_blogs(
                site.instance_id, before, site.waiting + site.incoming - before, site.max_pending
            );
        end if;
    end loop;
end
$$;

-- Raises BW503 when more jobs would not fit into the queue, or into a site's own share of it. Called before the
--        insert, it
-- saves the work; the insert checks again.
-- Takes  own_limit: see queue_size_limit; it holds until the end of the transaction; for_sites and counts, same
--        order: how many more are meant for each site.
create function require_room(own_limit integer, for_sites text[], counts bigint[]) returns void
language plpgsql volatile as $$
declare
    most integer := queue_size_limit(own_limit);
    coming bigint := (select sum(c) from unnest(counts) as c);
    waiting bigint;
begin
    if own_limit is not null then
        perform set_config('blogworker.queue_size_limit', own_limit::text, true);
    end if;
    if not exists (
        select from queue_gauge as q
        where
            q.counted_at > clock_timestamp() - interval '1 second'
            and q.counted_at <= clock_timestamp()
            and q.pending + greatest(0, (select max(g.id) from blog_generations as g)::double precision - q.newest) + coming
                <= most
    ) then
        waiting := pending_count(most);
        if waiting + coming > most then
            perform refuse_blogs(null, waiting, coming, most);
        end if;
    end if;
    perform require_site_room(for_sites, counts);
end
$$;

-- The limits hold for every INSERT, once for each statement. Two transactions that are open at the same time do not
-- see each other's jobs, so the queue may exceed its limit by what both insert.
-- Hints  As announce_sites: planned for 3 sites, it reads all 20,000 at each insert.
create function blog_generations_within_limits() returns trigger language plpgsql
set enable_seqscan = off set jit = off as $$
declare
    most integer := queue_size_limit(null);
    coming bigint;
    newest_id bigint;
    arrived text[];
    waiting bigint;
begin
    select count(*), max(n.id), array_agg(distinct n.instance_id) into coming, newest_id, arrived
    from new_rows as n
    where n.status = 'PENDING';
    if coming = 0 then
        return null;
    end if;
    if not exists (
        select from queue_gauge as q
        where
            q.counted_at > clock_timestamp() - interval '1 second'
            and q.counted_at <= clock_timestamp()
            and q.pending + greatest(coming, newest_id::double precision - q.newest) <= most
    ) then
        waiting := pending_count(most + coming) - coming; -- these are in the table already
        if waiting + coming > most then
            perform refuse_blogs(null, waiting, coming, most);
        end if;
        perform note_queue_size(waiting + coming, newest_id);
    end if;
    if exists (select from sites as s where s.instance_id = any (arrived) and s.max_pending is not null) then
        perform require_site_room(arrived, array_fill(0::bigint, array[cardinality(arrived)]));
    end if;
    return null;
end
$$;

create trigger within_limits after insert on blog_generations
referencing new table as new_rows
for each statement when (
    current_setting('check_function_bodies') <> 'off' or not has_table_privilege('blog_generations'::regclass, 'TRIGGER')
) execute function blog_generations_within_limits();

-- Stores a fresh count. It never waits: while another transaction has locked the row, others count for themselves. A
-- transaction with an older snapshot could not change it.
create function note_queue_size(waiting bigint, newest_id bigint) returns void language plpgsql volatile as $$
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        return;
    end if;
    perform from queue_gauge for update skip locked;
    if found then
        update queue_gauge set pending = waiting, newest = newest_id, counted_at = clock_timestamp();
    end if;
end
$$;

-- Enqueueing ---------------------------------------------------------------------------------------------------------

-- Reports in words what a check constraint would report by its name.
-- Raises 23514.
create function require_storable(source_data jsonb, run_at timestamptz, publish_at timestamptz) returns void
language plpgsql immutable as $$
declare
    first constant timestamptz := '0001-01-01 00:00:00+00';
    last constant timestamptz := '9999-12-31 23:59:59.999999+00';
begin
    if run_at not between first and last then
        raise exception 'run_at is %: it must be within the years 1 to 9999', run_at
        using errcode = 'check_violation', hint = 'Leave it out, or pause the site to hold its jobs back.';
    end if;
    if publish_at not between first and last then
        raise exception 'publish_at is %: it must be within the years 1 to 9999', publish_at
        using errcode = 'check_violation', hint = 'To publish by hand pass publish_mode => ''draft''.';
    end if;
    if jsonb_path_exists(source_data, 'strict $.**{33 to last}') then
        raise exception 'source_data is nested more than 32 levels deep'
        using errcode = 'check_violation', hint = 'Flatten it.';
    end if;
    if jsonb_path_exists(source_data, 'strict $.** ? (@ > 1e308 || @ < -1e308)') then
        raise exception 'source_data holds a number beyond 1e308'
        using errcode = 'check_violation', hint = 'Put it into a string.';
    end if;
    if octet_length(source_data::text) > 65536 then
        raise exception 'source_data has % bytes: at most 65,536 are allowed', octet_length(source_data::text)
        using errcode = 'check_violation', hint = 'Shorten its texts.';
    end if;
end
$$;

-- The place of a waiting job among those of its site, from 1, counted to 1,000: first what backs off and what has begun,
-- then new jobs by priority and age.
create function place_in_site(g blog_generations) returns integer language sql stable as $$
    select least(e.part_done + e.others, 1000)::integer
    from (
        select
            (
                select count(*)
                from (
                    select
                    from blog_generations as o
                    where o.instance_id = g.instance_id and o.status = 'PENDING' and o.line is null
                    limit 1000
                ) as first
            ) + (
                select count(*)
                from (
                    select
                    from blog_generations as o
                    where o.instance_id = g.instance_id and is_started(o)
                    limit 1000
                ) as first
            ) as part_done,
            (
                select count(*)
                from (
                    select
                    from blog_generations as o
                    where
                        o.instance_id = g.instance_id
                        and o.status = 'PENDING'
                        and o.line = 0
                        and o.priority >= g.priority
                        and (o.priority > g.priority or o.id <= g.id)
                    order by o.priority desc, o.id -- by the index of waiting jobs
                    limit 1000
                ) as before
            ) as others
    ) as e
$$;

-- Who adds a job: the login, and the name that its program gives, if any.
create function adder(given text) returns text language sql stable as $$
    select coalesce(left(nullif(given, ''), 200) || ' as ', '') || session_user
$$;

-- Adds one job. A repeated idempotency key gives the first job of that key, whatever else is passed.
-- Gives  id, status; created: false for a repeated key; place: its place among the waiting jobs of its site (counted
--        up to 1,000; null once it has started); expected_start: an estimate from that place, the sites in line, the
--        pace of the fleet and that of the site's own Wix quota, not before the quota or cap that it waits
--        for lets it go; null while that is unknown (its site is paused, no worker claims its stage, the total budget
--        is used up, a circuit breaker is open); waits_for: what else it waits for, see v_waiting.
-- Takes  added_by: the person or the token on whose behalf a program calls; its login is stored with it.
-- Raises BW503 when the queue, or the site's share, is full; 23514 when a check of blog_generations refuses the row.
-- Hints  Without them Postgres plans three of its statements for each job: 0.65 of 3.2 ms.
create function enqueue_blog(
    instance_id text,
    source_type text,
    source_id text default null,
    source_data jsonb default '{}',
    priority integer default 0,
    run_at timestamptz default null,
    publish_at timestamptz default null,
    idempotency_key text default null,
    max_attempts integer default null,
    queue_size_limit integer default null,
    publish_mode text default null,
    added_by text default null
) returns table (
    id bigint, status text, created boolean, place integer, expected_start timestamptz, waits_for text
)
language plpgsql volatile
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
#variable_conflict use_column
declare
    found_id bigint;
    limit_before text := current_setting('blogworker.queue_size_limit', true);
begin
    created := false;
    select g.id into found_id
    from blog_generations as g
    where g.instance_id = enqueue_blog.instance_id and g.idempotency_key = enqueue_blog.idempotency_key;
    if found_id is null then
        perform require_storable(enqueue_blog.source_data, enqueue_blog.run_at, enqueue_blog.publish_at);
        perform require_room(enqueue_blog.queue_size_limit, array[enqueue_blog.instance_id], array[1]);
        insert into blog_generations (
            instance_id, source_type, source_id, source_data, priority, run_at, idempotency_key, max_attempts,
            publish_mode, added_by
        )
        values (
            enqueue_blog.instance_id, enqueue_blog.source_type, enqueue_blog.source_id,
            coalesce(enqueue_blog.source_data, '{}'), enqueue_blog.priority::smallint,
            coalesce(enqueue_blog.run_at, now()), enqueue_blog.idempotency_key, coalesce(enqueue_blog.max_attempts, 5),
            enqueue_blog.publish_mode, adder(enqueue_blog.added_by)
        )
        on conflict (instance_id, idempotency_key) where idempotency_key is not null do nothing
        returning blog_generations.id into found_id;
        created := found_id is not null;
        if enqueue_blog.queue_size_limit is not null then -- the limit was for this job only
            perform set_config('blogworker.queue_size_limit', coalesce(limit_before, ''), true);
        end if;
    end if;
    if created and enqueue_blog.publish_at is not null then
        insert into scheduled_blogs (blog_generation_id, publish_at) values (found_id, enqueue_blog.publish_at);
    end if;
    if found_id is null then -- another transaction with the same key won the race
        select g.id into strict found_id
        from blog_generations as g
        where g.instance_id = enqueue_blog.instance_id and g.idempotency_key = enqueue_blog.idempotency_key;
    end if;
    return query
    select
        g.id,
        g.status,
        enqueue_blog.created,
        p.place,
        case
            when g.status = 'SCHEDULED' or (g.line is null and g.run_at > now()) then g.run_at
            when p.place is not null and w.known
                then greatest(clock_timestamp() + make_interval(secs => expected_wait_s(p.place)), w.until)
        end,
        w.reason
    from blog_generations as g
    left join lateral (select place_in_site(g) as place) as p on g.status = 'PENDING'
    left join lateral (
        select
            nullif(v.reason, 'in line') as reason,
            v.until,
            v.kind not in ('pause', 'stage_pause', 'unserved', 'budget', 'breaker') as known
        from v_waiting as v
        where v.id = g.id
    ) as w on g.status = 'PENDING'
    where g.id = found_id;
end
$$;

-- Creates the sites of a bulk, in one order, so that two bulks with the same new sites cannot deadlock.
create function create_sites(instance_ids text[]) returns void language sql volatile as $$
    insert into sites (instance_id)
    select i.instance_id
    from unnest(instance_ids) as i (instance_id)
    order by i.instance_id
    on conflict do nothing
$$;

-- Adds a batch of jobs; repeated idempotency keys are skipped.
-- Takes  blogs: an array of objects with the arguments of enqueue_blog by name.
-- Gives  a row for each new job: its place in the array, counted from 1, and its id.
-- Raises BW503 when the queue, or the site's share, is full; 23514 when a check of blog_generations refuses a row.
-- Locks  the keys, in one order, so that two batches of the same keys cannot deadlock.
create function enqueue_blogs(blogs jsonb) returns table (place integer, id bigint) language sql volatile as $$
    with incoming as materialized (
        select nextval(pg_get_serial_sequence('blog_generations', 'id')) as id, row_number() over () as place, b.*
        from jsonb_to_recordset(blogs) as b (
            instance_id text, source_type text, source_id text, source_data jsonb, priority smallint,
            run_at timestamptz, publish_at timestamptz, idempotency_key text, max_attempts integer, publish_mode text,
            added_by text
        )
    ),

    added as (
        insert into blog_generations (
            id, instance_id, source_type, source_id, source_data, priority, run_at, idempotency_key, max_attempts,
            publish_mode, added_by
        )
        overriding system value
        select
            i.id, i.instance_id, i.source_type, i.source_id, coalesce(i.source_data, '{}'), coalesce(i.priority, 0),
            coalesce(i.run_at, now()), i.idempotency_key, coalesce(i.max_attempts, 5), i.publish_mode,
            adder(i.added_by)
        from incoming as i
        order by i.instance_id, i.idempotency_key
        on conflict (instance_id, idempotency_key) where idempotency_key is not null do nothing
        returning blog_generations.id
    ),

    timed as (
        insert into scheduled_blogs (blog_generation_id, publish_at)
        select i.id, i.publish_at
        from incoming as i
        join added as a on a.id = i.id
        where i.publish_at is not null
    )

    select i.place::integer, i.id
    from incoming as i
    join added as a on a.id = i.id
$$;

-- Access: the tokens of the HTTP interface.

-- Who may call the HTTP interface. A token has 256 random bits, so its SHA-256 hash is enough to recognise it and of no
-- use to a reader of this table.
create table api_tokens (
    token_id bigint generated always as identity primary key,
    name text not null, -- who has it; shown in lists and logs
    hash bytea not null unique,
    scopes text[] not null, -- intake: add jobs; read: see everything; operate: change jobs, sites and breakers
    instance_ids text[], -- the sites that it may see and add jobs to; null: all
    created_at timestamptz not null default now(),
    expires_at timestamptz, -- null: never
    revoked_at timestamptz,
    used_at timestamptz, -- to about a minute

    constraint name_is_short check (length(name) between 1 and 100),
    constraint hash_is_sha256 check (length(hash) = 32),
    constraint scopes_are_known check (cardinality(scopes) > 0 and scopes <@ array['intake', 'read', 'operate']),
    constraint some_site_or_all check (cardinality(instance_ids) between 1 and 1000)
);

-- A name is free again after its token was revoked.
create unique index api_tokens_name_idx on api_tokens (name) where revoked_at is null;

-- Fairness in figures: service by site, how even it is, and who waits longest.

-- Sites with work waiting or served in the last ten minutes. service: jobs started per unit of weight.
create view site_service as
with started as (
    select g.instance_id, count(*) as jobs
    from blog_generations as g
    where
        (g.status = 'PROCESSING' or g.finished_at > now() - interval '10 minutes') -- each by its index
        and g.claimed_at > now() - interval '10 minutes'
    group by g.instance_id
),

waiting as (
    select g.instance_id, count(*) as jobs, min(greatest(g.run_at, g.created_at)) as since
    from blog_generations as g
    where g.status = 'PENDING'
    group by g.instance_id
)

select
    s.instance_id,
    s.name,
    s.weight,
    coalesce(b.jobs, 0) as started,
    coalesce(b.jobs, 0) / s.weight as service,
    coalesce(w.jobs, 0) as pending,
    site_in_flight(s.instance_id) as processing,
    now() - w.since as longest_wait,
    case
        when s.paused_at is not null then 'paused: ' || coalesce(s.pause_reason, 'no reason given')
        when s.at_cap then 'at its cap'
        when w.jobs > 0 then 'in line'
        else 'idle'
    end as state
from sites as s
left join started as b using (instance_id)
left join waiting as w using (instance_id)
where b.jobs > 0 or w.jobs > 0;

-- One row. Jain's index of service over the sites that are in line now; 1 is even. Sites that had work all the time
-- should be served alike; a site that came a moment ago, or asked for little, lowers the index without being treated
-- unfairly.
create view service_fairness as
select
    count(*) as sites_in_line,
    min(v.service) as least_service,
    max(v.service) as most_service,
    case
        when sum(v.service ^ 2) > 0 then sum(v.service) ^ 2 / (count(*) * sum(v.service ^ 2))
    end as jain,
    max(v.longest_wait) as longest_wait,
    (array_agg(v.instance_id order by v.longest_wait desc nulls last))[1] as longest_waiting_site
from site_service as v
where v.state = 'in line';

-- History: what became of the queue, minute by minute, for charts. Workers record each minute once, shortly after its end.

create table history (
    minute timestamptz primary key, -- its beginning
    done integer not null,
    failed integer not null,
    cancelled integer not null,
    pending integer, -- waiting jobs at its end, counted to 1,000,000; null: it was recorded later
    wait_p50_s real, -- of DONE jobs: from their run_at or creation, the later one, to the last claim; null: no job
    wait_p95_s real,
    total_p50_s real, -- of the same jobs: from their creation, or their run_at if it was later, to their end
    total_p95_s real
);

create table history_stages (
    minute timestamptz not null references history on delete cascade,
    stage text not null,
    jobs integer not null, -- that were DONE and have a checkpoint of the stage
    p50_s real not null,
    p95_s real not null,

    primary key (minute, stage)
);

-- Scale: how many workers the waiting jobs need. `blogworker autoscale` and KEDA act on it.

-- What autoscale has decided on each host, so that it knows how the need was in the last minutes. Kept for a day.
create table scalings (
    host text not null,
    at timestamptz not null default clock_timestamp(),
    workers integer not null, -- that ran
    wanted integer not null, -- its part of v_scale.workers_wanted, before limits and cooldown
    target integer not null, -- that it made run

    primary key (host, at),
    constraint host_is_bounded check (length(host) <= 300),
    constraint counts_are_bounded check (
        workers between 0 and 1000000 and wanted between 0 and 1000000 and target between 0 and 1000000
    ),
    constraint times_are_date_times check (
        at between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    )
);

-- How many workers the jobs need: what arrives fills four fifths of their slots (by Little's law), and what waits is done
-- within drain_s besides; never fewer than the running jobs fill.
-- Takes  workers and slots that are alive, busy: running jobs; claimable: jobs that only wait for a slot; arriving:
--        jobs a minute, ended: likewise; blog_s: seconds of a job; quota_a_minute: jobs that the narrowest quota lets
--        through, null: any; oldest_wait_s: of the next jobs.
-- Gives  wanted; limited_by: why it is not more, null: nothing limits it. quota: more workers could not use more of it;
--        free slots: a tenth of the slots or more are free although jobs wait, so the slots are not what they wait for,
--        but for the quota of their site, for a probe, or for a worker that has just started. Then it is at most what
--        runs now.
create function workers_needed(
    workers bigint, slots bigint, busy bigint, claimable bigint, arriving double precision, ended double precision,
    blog_s double precision, quota_a_minute double precision, oldest_wait_s double precision, drain_s double precision,
    out wanted integer, out limited_by text
) language sql immutable as $$
    select
        greatest(
            least(ceil(busy / k.per_worker), workers), -- jobs that run keep their slots
            least(n.needed, n.useful, case when n.idle then workers end)
        )::integer,
        case
            when n.needed > least(n.useful, case when n.idle then workers end)
                then case
                    when
                        n.idle
                        and coalesce(n.useful > workers, true)
                        and coalesce(ended < 0.8 * k.quota_a_minute, true)
                        then 'free slots'
                    else 'quota'
                end
        end
    -- Other programs write some of the figures: products of the smallest numbers would underflow.
    from (
        select
            case
                when workers > 0 and slots > 0 then greatest(1, slots::double precision / workers) else 50
            end as per_worker,
            greatest(blog_s, 0.001) as blog_s,
            case when arriving > 0.001 then arriving else 0 end as arriving,
            case when quota_a_minute is not null then greatest(quota_a_minute, 0.001) end as quota_a_minute
    ) as k
    cross join lateral (
        select
            least(100000, greatest(
                ceil(
                    greatest(
                        busy,
                        k.arriving / 60 * k.blog_s / 0.8 + (claimable + busy) * k.blog_s / drain_s
                    ) / k.per_worker
                ),
                case when claimable > 0 then 1 end,
                case when claimable > 0 and oldest_wait_s > drain_s then workers + 1 end
            )) as needed,
            case
                when k.quota_a_minute is not null
                    then greatest(1, ceil(k.quota_a_minute / 60 * k.blog_s * 1.25 / k.per_worker))
            end as useful,
            workers > 0 and claimable > 0 and busy < 0.9 * slots as idle
    ) as n
$$;

-- One row: the need for workers, and what it follows from. Counts stop at 10,000, at the 1,000 sites at the head of the
-- line. stopped_by: why no new job may start, null: one may. A metric and `status` show it, so it costs the same with
-- any backlog.
create view v_scale as
with stages as (
    select
        v.line,
        case
            when p.stage is not null then format('stage %s is paused: %s', p.stage, p.reason)
            when b.one is not null and v.line < 4 then b.stop_reason
            when h.provider is not null
                then format('the circuit breaker of %s is open: %s', h.provider, coalesce(h.reason, 'no reason given'))
        end as closed
    from fleet_needs() as n
    right join (
        values (0, 'source', 'openai', 1), (1, 'ideas', 'openai', 1), (2, 'content', 'openai', 2),
        (3, 'image', 'replicate', 3), (4, 'publish', 'wix', null)
    ) as v (line, stage, provider, bucket) on true
    left join provider_health as h
        on h.provider = coalesce(split_part(n.buckets[v.bucket], '/', 1), v.provider) and h.state <> 'closed'
    left join stage_pauses as p on p.stage = v.stage
    left join fleet_budget as b on b.stopped_until > now()
),

open_lines as materialized (
    select coalesce(array_agg(s.line::smallint), '{}') as lines from stages as s where s.closed is null
),

fleet as (
    select
        count(*) filter (where not w.draining) as workers,
        coalesce(sum(w.concurrency) filter (where not w.draining), 0)::bigint as slots
    from workers as w
    where w.lease_until > now() and not exists (select from quiet_workers as q where q.name = w.name)
),

-- Both in the last minutes that were recorded: what ended, and by how much the queue grew.
lately as (
    select
        sum(h.ended) / count(*) as ended,
        (
            sum(h.ended) - (array_agg(h.ended order by h.minute))[1]
            + (array_agg(h.pending order by h.minute desc))[1] - (array_agg(h.pending order by h.minute))[1]
        ) / nullif(extract(epoch from max(h.minute) - min(h.minute)) / 60, 0) as arrived
    from (
        select m.minute, m.pending, m.done + m.failed + m.cancelled as ended
        from history as m
        where m.minute > now() - interval '10 minutes' and m.pending is not null
        order by m.minute desc
        limit 6
    ) as h
),

facts as (
    select
        f.workers,
        f.slots,
        (
            select count(*)
            from (
                select from blog_generations as g where g.status = 'PROCESSING' order by g.worker_id limit 10000
            ) as p
        ) as busy,
        pending_count(10000) as waiting,
        (
            select count(*)
            from (
                select
                from (
                    select s.instance_id, s.max_in_flight
                    from sites as s
                    where is_in_line(s)
                    order by s.virtual_time, s.ready_at desc
                    limit 1000
                ) as s
                cross join lateral (
                    select
                    from blog_generations as g
                    where g.instance_id = s.instance_id and is_claimable(g) and g.line = any (o.lines)
                    limit least(10000, s.max_in_flight)
                ) as j
                limit 10000
            ) as c
        ) as claimable,
        (
            select extract(epoch from now() - min(j.since))::double precision
            from (
                select s.instance_id
                from sites as s
                where is_in_line(s)
                order by s.virtual_time, s.ready_at desc
                limit 100
            ) as s
            cross join lateral (
                select greatest(g.run_at, g.created_at) as since
                from blog_generations as g
                where g.instance_id = s.instance_id and is_claimable(g) and g.line = any (o.lines)
                order by g.line desc, g.priority desc, g.id
                limit 1
            ) as j
        ) as oldest_wait_s,
        (case when 0 = any (o.lines) then greatest(0, coalesce(l.arrived, 0)) else 0 end)::double precision
            as arriving_a_minute,
        coalesce(l.ended, 0)::double precision as ended_a_minute,
        coalesce(n.blog_s, 60) as blog_s,
        (select min(60 / nullif(b.blog_s, 0)) from bucket_needs(n.buckets, n.tokens, clock_timestamp()) as b)
            as quota_a_minute,
        (select s.closed from stages as s where s.line < 3 and s.closed is not null order by s.line limit 1)
            as stopped_by
    from fleet as f
    cross join lately as l
    cross join open_lines as o
    left join fleet_needs() as n on true
)

select f.*, w.wanted as workers_wanted, w.limited_by
from (
    select
        a.workers,
        a.slots,
        a.busy,
        a.waiting,
        -- Only workers put sites in line.
        case
            when a.workers = 0 and a.stopped_by is null then greatest(a.claimable, a.waiting) else a.claimable
        end as claimable,
        a.oldest_wait_s,
        a.arriving_a_minute,
        a.ended_a_minute,
        a.blog_s,
        a.quota_a_minute,
        a.stopped_by
    from facts as a
) as f
cross join lateral workers_needed(
    f.workers, f.slots, f.busy, f.claimable, f.arriving_a_minute, f.ended_a_minute, f.blog_s, f.quota_a_minute,
    f.oldest_wait_s, 600
) as w;

-- Audit: what people changed through the commands, HTTP and the dashboard. Changes by SQL are not in it.

create table audit (
    audit_id bigint generated always as identity primary key,
    at timestamptz not null default clock_timestamp(),
    actor text not null check (length(actor) between 1 and 300), -- who, as the interface knows: a login, or a token
    via text not null check (via in ('cli', 'http', 'dashboard')),
    db_role text not null default session_user, -- who, as the database knows
    action text not null check (length(action) between 1 and 100), -- such as `site.pause`
    target text check (length(target) <= 1000), -- what was changed; null: everything
    before jsonb, -- only what changed; null: nothing was there
    after jsonb
);

create index audit_target_idx on audit (target, audit_id desc);

-- Webhooks: endpoints that get messages about ended jobs and alerts, and the outbox of these messages.
--
-- Deliveries are written in the transaction that ends the job, whoever ends it (blog_generations_after_update), and
-- sent later by the workers: at least once, in no guaranteed order. Without an endpoint nothing is written.

create table webhooks (
    webhook_id uuid primary key default gen_random_uuid(), -- signing secrets are derived from it and a key of the settings
    name text not null unique,
    url text, -- null: the settings of the workers have it, because it contains a secret
    events text[] not null,
    instance_ids text[], -- jobs of these sites only; null: all
    format text not null default 'json' check (format in ('json', 'slack')),
    created_at timestamptz not null default now(),
    paused_at timestamptz, -- by a person: nothing is sent, deliveries are kept for a day
    pause_reason text,
    disabled_at timestamptz, -- by the program: nothing is written for it
    disabled_reason text,

    -- Written by the workers that send.
    failures integer not null default 0 check (failures between 0 and 1000000), -- since the last success
    failing_since timestamptz,
    retry_at timestamptz not null default now(), -- nothing is sent before
    last_error text,

    constraint name_is_short check (name ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$'),
    constraint url_is_short check (length(url) between 1 and 2000),
    constraint events_are_known check (cardinality(events) > 0 and events <@ array['done', 'failed', 'alert']),
    constraint some_site_or_all check (cardinality(instance_ids) between 1 and 1000),
    constraint no_site_is_null check (array_position(instance_ids, null) is null), -- it would match any site
    constraint reasons_are_short check (
        length(pause_reason) <= 10000 and length(disabled_reason) <= 1000 and length(last_error) <= 1000
    ),
    constraint paused_with_a_reason check ((paused_at is null) = (pause_reason is null)),
    constraint disabled_with_a_reason check ((disabled_at is null) = (disabled_reason is null)),
    constraint failing_since_the_first_failure check ((failures > 0) = (failing_since is not null))
);

-- The outbox. It has no foreign keys: they would lock the endpoint while jobs are locked, so that a transaction at psql
-- that removes one would stop every settle. What belongs to no endpoint is never sent, and upkeep deletes it.
create table webhook_deliveries (
    delivery_id bigint generated always as identity primary key,
    webhook_id uuid not null,
    message_id uuid not null, -- one per event, the same at each attempt and for each endpoint: receivers dedupe by it
    event text not null check (event in ('done', 'failed', 'alert')),
    job_id bigint, -- null: an alert
    payload jsonb not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null default now() + interval '1 day', -- given up if it is not accepted by then
    state text not null default 'waiting' check (state in ('waiting', 'delivered', 'given_up')),
    attempts integer not null default 0 check (attempts between 0 and 1000000), -- the fencing token of a worker that sends it
    due_at timestamptz not null default now(), -- not sent before
    leased_until timestamptz, -- a worker sends it; after that time another one does
    ended_at timestamptz,
    last_error text,

    constraint ended_exactly_when_not_waiting check ((state = 'waiting') = (ended_at is null)),
    constraint leased_only_while_waiting check (leased_until is null or state = 'waiting'),
    constraint payload_is_small check (octet_length(payload::text) <= 262144),
    constraint last_error_is_short check (length(last_error) <= 1000)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

-- claim.sql of webhooks.
create index webhook_deliveries_due_idx on webhook_deliveries (webhook_id, due_at) where state = 'waiting';
create index webhook_deliveries_leased_idx on webhook_deliveries (webhook_id, leased_until) where leased_until is not null;
-- upkeep.sql of webhooks: what to give up, what to delete.
create index webhook_deliveries_waiting_idx on webhook_deliveries (expires_at) where state = 'waiting';
create index webhook_deliveries_ended_idx on webhook_deliveries (state, ended_at) where state <> 'waiting';

-- Writes a delivery to each endpoint that wants to know of jobs that ended. The payload is the state of the job now: a later
-- retry or prune does not change it. `webhooks/message.py` adds the remedy of an error.
-- Takes  ended: jobs that became DONE or FAILED in this statement.
-- Locks  nothing.
-- Hints  A session that planned this on empty tables would read all posts and checkpoints for each job. Without the
--        generic plan it is planned at each call: 1.8 ms.
-- Costs  With one endpoint about 1 ms a statement on two busy cores; without one less than 0.1 ms.
create function note_ended_jobs(ended bigint[]) returns void language plpgsql volatile
set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
begin
    if not exists (
        select from webhooks as w where w.disabled_at is null and w.events && array['done', 'failed']
    ) then
        return;
    end if;
    with happened as materialized (
        select
            gen_random_uuid() as message_id,
            case g.status when 'DONE' then 'done' else 'failed' end as event,
            g.id,
            g.instance_id,
            jsonb_build_object(
                'job_id', g.id,
                'site', g.instance_id,
                'status', g.status,
                'source_type', g.source_type,
                'source_id', g.source_id,
                'idempotency_key', g.idempotency_key,
                'attempts', g.attempt,
                'created_at', g.created_at,
                'finished_at', g.finished_at,
                'title', (select left(p.title, 1000) from blog_posts as p where p.generation_id = g.id),
                'url', (select left(p.url, 2000) from blog_posts as p where p.generation_id = g.id),
                'cost_usd', (select sum(c.cost_usd) from generation_stages as c where c.generation_id = g.id),
                'error', case
                    when g.status = 'FAILED'
                        then jsonb_build_object('message', left(g.error, 2000), 'kind', null, 'stage', g.stage) || coalesce(
                            (
                                select jsonb_build_object('kind', e.kind, 'stage', e.stage)
                                from generation_errors as e
                                where e.generation_id = g.id and e.attempt = g.attempt
                                order by e.id desc
                                limit 1
                            ),
                            '{}'
                        )
                end
            ) as payload
        from blog_generations as g
        where
            g.id = any (ended)
            and exists (
                select from webhooks as w
                where
                    w.disabled_at is null
                    and case g.status when 'DONE' then 'done' else 'failed' end = any (w.events)
                    and coalesce(g.instance_id = any (w.instance_ids), true)
            )
    )
    insert into webhook_deliveries (webhook_id, message_id, event, job_id, payload)
    select w.webhook_id, h.message_id, h.event, h.id, h.payload
    from happened as h
    join webhooks as w
        on
            w.disabled_at is null
            and h.event = any (w.events)
            and coalesce(h.instance_id = any (w.instance_ids), true);
end
$$;

-- Alerts: which conditions of blogworker/alerts/rules.py hold, since when, and when a message was last sent of each.

create table alerts (
    rule text not null check (length(rule) between 1 and 100),
    subject text not null default '' check (length(subject) <= 500), -- such as a provider; '': the fleet
    severity text not null check (severity in ('warning', 'critical')),
    value double precision not null,
    summary text not null check (length(summary) <= 2000),
    since timestamptz not null default now(), -- it holds
    held_at timestamptz not null default now(), -- the last time that it was found to hold
    fired_at timestamptz, -- null: it does not hold for long enough yet
    sent_at timestamptz, -- the last message

    primary key (rule, subject),
    constraint sent_since_it_fired check ((fired_at is null) = (sent_at is null))
);

-- One row: when the rules were last evaluated, and the number of that evaluation: a slow worker with an older number
-- writes nothing.
create table alert_evaluations (
    one boolean primary key default true check (one),
    evaluation bigint not null default 1,
    evaluated_at timestamptz not null default now()
);

-- Rights: least privilege. `blogworker roles` creates the roles, blogworker/db/grants.py lists their privileges.
--
-- A producer calls enqueue_blog, which runs with the rights of the tables' owner, as triggers do. So no role needs
-- privileges for what triggers write: sites of new jobs, announcements, totals of spending.

-- Columns that the program maintains ---------------------------------------------------------------------------------

-- A role that may not create triggers here sets only the source and the times of a job that it inserts; all other
-- columns are reset. The id comes from the sequence, because a chosen id would make a later insert of another role
-- fail.
create function blog_generations_guard_columns() returns trigger language plpgsql as $$
begin
    if new.status not in ('PENDING', 'SCHEDULED') then
        raise exception 'a job cannot be inserted as %', new.status
        using
            errcode = 'insufficient_privilege',
            hint = 'Leave status alone. Only the owner of the table inserts jobs that were made elsewhere.';
    end if;
    new.id := nextval(pg_get_serial_sequence('blog_generations', 'id'));
    new.added_by := session_user;
    new.stage := 'source';
    new.attempt := 0;
    new.failures := 0;
    new.rescues := 0;
    new.lone_rescues := 0;
    new.worker_id := null;
    new.created_at := now();
    new.claimed_at := null;
    new.finished_at := null;
    new.cancel_requested_at := null;
    new.error := null;
    return new;
end
$$;

create trigger guard_columns before insert on blog_generations
for each row when (not has_table_privilege('blog_generations'::regclass, 'TRIGGER'))
execute function blog_generations_guard_columns();

-- Only hold_budget, which runs as the owner, raises what an attempt may spend; save_checkpoint lowers it by what was
-- paid. A role that could write it could bypass the budgets of its site and of the fleet.
create function blog_generations_guard_reservation() returns trigger language plpgsql as $$
begin
    raise exception 'what job % may spend cannot be written directly', old.id
    using errcode = 'insufficient_privilege', hint = 'Call hold_budget.';
end
$$;

create trigger guard_reservation before update on blog_generations
for each row when (
    (
        old.held_for is distinct from new.held_for
        or (
            old.held_usd is distinct from new.held_usd
            and coalesce(new.held_usd > coalesce(old.held_usd, 0) or new.status <> 'PROCESSING', true)
        )
    )
    and not has_table_privilege('blog_generations'::regclass, 'TRIGGER')
)
execute function blog_generations_guard_reservation();

-- A new site has no place in the line yet, whatever the insert says.
create function sites_guard_columns() returns trigger language plpgsql as $$
begin
    new.created_at := now();
    new.ready := false;
    new.ready_at := null;
    new.at_cap := false;
    new.capped_until := null;
    new.virtual_time := 0;
    new.stage_times := null;
    new.turn_cost := 1;
    new.paused_for := null;
    return new;
end
$$;

create trigger guard_columns before insert on sites
for each row when (not has_table_privilege('sites'::regclass, 'TRIGGER')) execute function sites_guard_columns();

-- Functions ----------------------------------------------------------------------------------------------------------

-- Makes every function of ours resolve names in the schema of our tables only, whatever the caller's search_path, and
-- revokes EXECUTE from PUBLIC. Triggers, and the functions through which producers and workers write what they may
-- not write themselves, run with the rights of their owner.
--
-- An SQL function is recreated with a body that is parsed now (begin atomic), so that it can still be inlined; a
-- function with a setting cannot. All other functions get a fixed search_path.
--
-- Called by `migrate` after it has applied migrations, and by code that recreates functions.
create function secure_functions() returns void language plpgsql volatile as $do$
declare
    f record;
    path text;
begin
    for f in
        select
            p.oid::regprocedure as signature,
            n.nspname as home,
            l.lanname = 'sql' and p.proconfig is null and p.prosqlbody is null as to_be_parsed,
            p.prosqlbody is not null as parsed,
            pg_get_functiondef(p.oid) as definition,
            p.prosrc as body,
            coalesce(p.proconfig, '{}') as settings,
            p.prosecdef,
            has_function_privilege('public', p.oid, 'EXECUTE') as is_public,
            p.prorettype = 'trigger'::regtype and p.proname <> 'replace_seeded_row' as is_trigger,
            p.proname in (
                'enqueue_blog', 'enqueue_blogs', 'create_sites', 'draw_review', 'require_room', 'claim_slug',
                'hold_budget', 'claim_title', 'follow_plans', 'note_restore', 'job_origin', 'advance_sequences'
            ) as for_others
        from pg_proc as p
        join pg_language as l on l.oid = p.prolang
        join pg_class as c on c.relnamespace = p.pronamespace and c.relowner = p.proowner
        join pg_namespace as n on n.oid = p.pronamespace
        where
            c.oid = 'blog_generations'::regclass
            and p.proname = any (own_functions())
            and not exists (select from pg_depend as d where d.objid = p.oid and d.deptype = 'e') -- an extension's
        order by p.oid
    loop
        if f.to_be_parsed and not f.for_others then
            execute replace(
                f.definition,
                format(E'AS $function$%s$function$', f.body),
                format(E'begin atomic\n%s\n;\nend', f.body)
            );
        elsif not f.parsed then
            path := format('%I, pg_temp', f.home);
            if not f.settings @> array['search_path=' || path] then
                execute format('alter function %s set search_path = %I, pg_temp', f.signature, f.home);
            end if;
        end if;
        if f.for_others and not f.prosecdef then
            -- If it were off, triggers would treat the rows that it inserts as those of a dump, see restoring.
            execute format('alter function %s set check_function_bodies = on', f.signature);
        end if;
        if (f.for_others or f.is_trigger) and not f.prosecdef then
            execute format('alter function %s security definer', f.signature);
        end if;
        if f.is_public then
            execute format('revoke execute on function %s from public', f.signature);
        end if;
    end loop;
end
$do$;

-- The names of all our functions; the schema may hold functions of others. tests/db/test_roles.py keeps it complete.
create function own_functions() returns text[] language sql immutable as $$
    select array[
        'add_usage', 'adder', 'advance_sequences', 'announce_sites', 'begin_single_flight',
        'blog_generations_after_delete', 'blog_generations_after_insert', 'blog_generations_after_truncate',
        'blog_generations_after_update', 'blog_generations_guard_attempt', 'blog_generations_guard_columns',
        'blog_generations_guard_insert', 'blog_generations_guard_line', 'blog_generations_guard_reservation',
        'blog_generations_guard_update', 'blog_generations_within_limits', 'blogs_per_minute', 'breaker_end_probe',
        'breaker_pause', 'breaker_report', 'bucket_needs', 'claim_slug', 'claim_title', 'compare_titles',
        'create_sites', 'draw_review', 'enqueue_blog', 'enqueue_blogs', 'estimated_wait_minutes', 'expected_wait_s',
        'fleet_blocked_s', 'fleet_budget_changed', 'fleet_capacity', 'fleet_needs', 'follow_plans', 'follow_plans_now',
        'forget_deleted_draft', 'forget_from', 'forget_rejected_work', 'forget_work', 'generation_errors_waste',
        'hold_budget', 'is_attempt', 'is_claimable', 'is_in_line', 'is_published', 'is_shown', 'is_started',
        'is_suspect', 'job_origin', 'json_number', 'keep_all_titles', 'keep_published_titles', 'keep_titles',
        'last_error_kind', 'limit_in', 'line_number', 'made_of', 'mentions', 'nearest_titles', 'needs_shop',
        'note_ended_jobs', 'note_queue_size', 'note_restore', 'over_budget', 'own_functions', 'pending_count',
        'place_in_site', 'plans_apply', 'plans_guard_removal', 'plans_note_change', 'provider_health_by_hand',
        'provider_health_closed', 'provider_usage_summed', 'queue_size_limit', 'quota_ahead_s', 'quota_cost',
        'quota_counted', 'quota_last_minute', 'quota_moved_on', 'quota_pace', 'quota_rescaled', 'quota_round',
        'quota_shown', 'quota_slot', 'quotas_rescale', 'record_post', 'refuse_blogs', 'release_title',
        'reopen_capped_sites', 'replace_seeded_row', 'require_room', 'require_site_room', 'require_storable',
        'restoring', 'retry_stage', 'score_usage', 'secure_functions', 'server_position', 'service_floor', 'shell_word',
        'site_has_pending', 'site_in_flight', 'site_tags', 'sites_apply_plan', 'sites_budgeted', 'sites_guard_columns',
        'sites_in_line', 'sites_note_floor', 'sites_rejoin', 'spare_published', 'spending_at', 'spent_usd',
        'stage_number', 'stage_rooms', 'standard_blog_tokens', 'store_post', 'sum_held_usd', 'take_turn', 'title_key',
        'title_likeness', 'title_limit', 'title_trigrams', 'titles_like', 'usd_text', 'utc_day', 'waiting_sites',
        'wake_workers', 'workers_needed'
    ]
$$;

select secure_functions();

-- Where `blogworker migrate` applies this, its table of migrations exists already.
do $$
declare
    migrations regclass := to_regclass('blogworker_migrations');
begin
    if migrations is not null then
        execute format(
            'create trigger replace_seeded_row before insert on %s '
            'for each row when (restoring()) execute function replace_seeded_row(''version'')',
            migrations
        );
    end if;
end
$$;
