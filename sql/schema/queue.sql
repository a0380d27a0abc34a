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
