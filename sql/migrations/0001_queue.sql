-- The queue: sites, their jobs, and the rules that keep both true whoever writes, psql included.
--
--   SCHEDULED --promote--> PENDING --claim--> PROCESSING --settle--> DONE | FAILED | CANCELLED
--       ^---- retry, wait, publish later ----------'  '--release, rescue--> PENDING
--   FAILED | CANCELLED --a person's retry--> PENDING | SCHEDULED
--   What waits, or has FAILED, may be CANCELLED; what waits may be put off or be given up as FAILED.
--
-- Own SQLSTATEs: BW404 no such quota, BW409 a move the drawing above does not show, BW503 the queue takes no more for now.

create table sites (
    instance_id text primary key check (instance_id <> '' and length(instance_id) <= 200),
    name text,
    plan text not null default 'standard',
    weight real not null default 1 check (weight > 0 and weight <= 1000), -- share of service
    max_in_flight integer check (max_in_flight > 0), -- null: no cap
    max_pending integer check (max_pending > 0), -- null: only the queue's own limit
    paused_at timestamptz,
    pause_reason text,
    settings jsonb not null default '{}' check (jsonb_typeof(settings) = 'object'),
    created_at timestamptz not null default now(),
    -- The round robin. ready: may have PENDING jobs (never false while it has committed ones and no arrival).
    ready boolean not null default false,
    ready_at timestamptz,
    at_cap boolean not null default false, -- ready, but all it may run at once is running
    virtual_time double precision not null default 0 -- service received, in jobs per unit of weight
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 200);

-- The line of sites that a claim reads from its head; a tie goes to the one that came last (see claim.sql).
create index sites_in_line_idx on sites (virtual_time, ready_at desc) where ready and not at_cap and paused_at is null;
create index sites_virtual_time_idx on sites (virtual_time);
create index sites_at_cap_idx on sites (instance_id) where at_cap; -- reopen_sites.sql

-- Sites that got work while they were not ready. Producers only ever append here, so that two of them never wait for
-- each other over a site's row, however long their transactions stay open; a worker's admit empties it.
create table site_arrivals (
    id bigint generated always as identity primary key,
    instance_id text not null,
    announced_at timestamptz not null default clock_timestamp(),
    notified boolean not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

create index site_arrivals_notified_idx on site_arrivals (announced_at) where notified;

create table blog_generations (
    id bigint generated always as identity primary key,
    instance_id text not null references sites,
    source_type text not null check (source_type in ('keyword', 'product', 'text')),
    source_id text check (length(source_id) <= 500),
    source_data jsonb not null default '{}',
    status text not null default 'PENDING'
        check (status in ('SCHEDULED', 'PENDING', 'PROCESSING', 'DONE', 'FAILED', 'CANCELLED')),
    stage text not null default 'source' check (stage in ('source', 'ideas', 'content', 'image', 'publish')),
    priority smallint not null default 0,
    attempt integer not null default 0 check (attempt >= 0), -- claims so far; the fencing token, never goes down
    failures integer not null default 0 check (failures >= 0), -- attempts that count against max_attempts
    rescues integer not null default 0 check (rescues >= 0), -- workers that died holding it since its last finished stage
    lone_rescues integer not null default 0 check (lone_rescues >= 0), -- of them, those whose death nothing else explains
    max_attempts integer not null default 5 check (max_attempts > 0),
    run_at timestamptz not null default now(),
    worker_id uuid,
    created_at timestamptz not null default now(),
    claimed_at timestamptz,
    finished_at timestamptz,
    cancel_requested_at timestamptz, -- a person asked; the worker that holds it stops within one extension
    error text,
    idempotency_key text check (idempotency_key <> '' and length(idempotency_key) <= 200),
    retry_from text check (retry_from in ('source', 'ideas', 'content', 'image')), -- a person's next retry begins there
    constraint blog_generations_idempotency_key unique (instance_id, idempotency_key),
    constraint source_data_is_an_object check (jsonb_typeof(source_data) = 'object'),
    constraint source_data_is_at_most_64_kb check (octet_length(source_data::text) <= 65536),
    constraint held_exactly_while_processing check ((status = 'PROCESSING') = (worker_id is not null)),
    constraint finished_exactly_when_ended check (
        (status in ('DONE', 'FAILED', 'CANCELLED')) = (finished_at is not null)
    )
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

-- What a blog is about is something that a person sees: not only spaces, controls, and characters that show nothing.
-- blogworker/printable.py has the same ones, and says what they are.
do $do$
declare
    seen text := '[^' || concat(
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
        seen
    );
end
$do$;

-- claim.sql, and every count of what waits
create index blog_generations_pending_idx on blog_generations (instance_id, priority desc, id)
    where status = 'PENDING';
-- promote.sql
create index blog_generations_scheduled_idx on blog_generations (run_at) where status = 'SCHEDULED';
-- rescue.sql
create index blog_generations_held_idx on blog_generations (worker_id) where status = 'PROCESSING';
-- site_in_flight
create index blog_generations_in_flight_idx on blog_generations (instance_id) where status = 'PROCESSING';
-- drain rate, prune, "what failed today"
create index blog_generations_finished_idx on blog_generations (finished_at) where finished_at is not null;
-- one site's blogs, newest first
create index blog_generations_site_idx on blog_generations (instance_id, id desc);

-- Volatile on purpose, the next two: inside a statement that has locked the site they see what was committed before
-- the lock was had, which the statement's own snapshot may not.
create function site_in_flight(site text) returns bigint language plpgsql volatile as $$
begin
    return (select count(*) from blog_generations as g where g.instance_id = site and g.status = 'PROCESSING');
end
$$;

create function site_has_pending(site text) returns boolean language plpgsql volatile as $$
begin
    return exists (select from blog_generations as g where g.instance_id = site and g.status = 'PENDING');
end
$$;

-- Where a site joins the line: at the lowest virtual time now in service, or, when none is, at the highest there has
-- been. So it is next, and time spent idle saves up no credit (start-time fair queueing, Goyal, Vin and Cheng 1996).
create function service_floor() returns double precision language sql stable as $$
    select coalesce(
        (
            select s.virtual_time
            from sites as s
            where s.ready and not s.at_cap and s.paused_at is null
            order by s.virtual_time, s.ready_at desc
            limit 1
        ),
        (select max(s.virtual_time) from sites as s),
        0
    )
$$;

-- Wakes idle workers. Postgres sends equal notifications of one transaction once.
create function wake_workers() returns void language sql volatile as $$
    select pg_notify('blogworker_jobs', '')
$$;

-- Sites that got PENDING jobs. The key share lock (an insert's foreign key has it already) keeps a site that is ready
-- now from being retired before these jobs are committed: see retire_sites.sql.
--
-- A NOTIFY takes a lock that all committing transactions share (8 producers: 2,309 blogs a second with it, 3,611
-- without), so nobody notifies within 50 ms of a call that is committed and not yet answered. Whoever is woken looks
-- again for a while, and so meets those who kept quiet.
create function announce_sites(arrived text[]) returns void language plpgsql volatile as $$
declare
    called boolean;
begin
    if arrived is null then
        return;
    end if;
    perform from sites as s where s.instance_id = any (arrived) order by s.instance_id for key share;
    called := not exists (
        select from site_arrivals as a where a.notified and a.announced_at > clock_timestamp() - interval '50 milliseconds'
    );
    insert into site_arrivals (instance_id, notified)
    select s.instance_id, called from sites as s where s.instance_id = any (arrived) and not s.ready;
    if found and called then
        perform wake_workers();
    end if;
end
$$;

-- Sites that run fewer jobs than before. A site that somebody holds may be about to be found at its cap, by a count
-- that still has the jobs ended here; it is not waited for but announced, and whoever admits it counts again. Waiting
-- would stop a whole worker for a site in somebody's open transaction, and deadlock with an update of many sites.
create function reopen_capped_sites(relieved text[]) returns void language plpgsql volatile as $$
declare
    counted text[];
    reopened boolean;
begin
    if relieved is null then
        return;
    end if;
    select array_agg(l.instance_id) into counted
    from (
        select s.instance_id
        from sites as s
        where s.instance_id = any (relieved) and s.max_in_flight is not null
        for no key update skip locked
    ) as l;
    update sites as s
    set at_cap = false, virtual_time = greatest(s.virtual_time, service_floor())
    where s.instance_id = any (counted) and s.at_cap and site_in_flight(s.instance_id) < s.max_in_flight;
    reopened := found;
    insert into site_arrivals (instance_id, notified)
    select s.instance_id, true
    from sites as s
    where
        s.instance_id = any (relieved)
        and s.max_in_flight is not null
        and (
            s.instance_id <> all (coalesce(counted, '{}'))
            or current_setting('transaction_isolation') <> 'read committed' -- its count is as old as its snapshot
        );
    if found or reopened then
        perform wake_workers();
    end if;
end
$$;

-- Whether this session restores a dump: the scripts of pg_dump, and pg_restore, turn this setting off, and others have
-- no reason to. What comes out of a dump is as triggers left it, and must not be counted, announced or refused again.
-- Any role can change the setting, so it counts only for roles that may create triggers here, such as the owner.
create function restoring() returns boolean language sql stable as $$
    select
        current_setting('check_function_bodies') = 'off'
        and has_table_privilege('blog_generations'::regclass, 'TRIGGER')
$$;

-- A row that the migrations made gives way to the one of a dump.
create function give_way() returns trigger language plpgsql as $$
begin
    execute format('delete from %I.%I as r where r.%3$I = ($1).%3$I', tg_table_schema, tg_table_name, tg_argv[0])
    using new;
    return new;
end
$$;

create function blog_generations_guard_insert() returns trigger language plpgsql as $$
begin
    if new.run_at > now() and new.status = 'PENDING' then
        new.status := 'SCHEDULED';
    end if;
    insert into sites (instance_id) values (new.instance_id) on conflict do nothing;
    return new;
end
$$;

create function blog_generations_guard_update() returns trigger language plpgsql as $$
begin
    if new.attempt < old.attempt then
        raise exception 'attempt of blog % cannot go down: it fences old attempts out', old.id using errcode = 'BW409';
    end if;
    if new.status = old.status then
        if new.status = 'PROCESSING' then
            raise exception 'blog % is held: its claim cannot be changed, only settled', old.id
            using errcode = 'BW409', hint = 'Set status to PENDING to take it from its worker.';
        end if;
        return new;
    end if;
    if old.status = 'PROCESSING' and old.cancel_requested_at is not null and new.status in ('PENDING', 'SCHEDULED') then
        new.status := 'CANCELLED'; -- what was asked for wins over every way back into the queue
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
        raise exception 'blog % cannot go from % to %', old.id, old.status, new.status using errcode = 'BW409';
    end if;
    if new.status = 'PROCESSING' then
        if new.attempt <> old.attempt + 1 or new.worker_id is null then
            raise exception 'blog % can only be claimed: attempt + 1 and a worker', old.id using errcode = 'BW409';
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
        new.failures := 0; -- a person's retry: a full set of attempts again, from the last checkpoint
        new.rescues := 0;
        new.error := null;
        new.cancel_requested_at := null;
        perform forget_rejected_work(old.id, old.stage); -- comes with the next migration
    end if;
    if new.status = 'PENDING' then
        new.run_at := least(new.run_at, now());
    end if;
    return new;
end
$$;

create function blog_generations_after_insert() returns trigger language plpgsql as $$
begin
    perform announce_sites((select array_agg(distinct n.instance_id) from new_rows as n where n.status = 'PENDING'));
    return null;
end
$$;

create function blog_generations_after_update() returns trigger language plpgsql as $$
declare
    arrived text[];
    relieved text[];
begin
    select
        array_agg(distinct n.instance_id) filter (where n.status = 'PENDING'),
        array_agg(distinct o.instance_id) filter (where o.status = 'PROCESSING')
    into arrived, relieved
    from new_rows as n
    join old_rows as o using (id)
    where n.status <> o.status or n.instance_id <> o.instance_id; -- a person may hand a blog to another site
    perform announce_sites(arrived);
    perform reopen_capped_sites(relieved);
    return null;
end
$$;

create function blog_generations_after_delete() returns trigger language plpgsql as $$
begin
    perform reopen_capped_sites(
        (select array_agg(distinct o.instance_id) from old_rows as o where o.status = 'PROCESSING')
    );
    return null;
end
$$;

create function blog_generations_after_truncate() returns trigger language plpgsql as $$
begin
    update sites set at_cap = false where at_cap;
    return null;
end
$$;

-- The condition is not restoring(), written out because a role that inserts may lack EXECUTE on our functions.
create trigger guard_insert before insert on blog_generations
for each row when (
    current_setting('check_function_bodies') <> 'off' or not has_table_privilege('blog_generations'::regclass, 'TRIGGER')
) execute function blog_generations_guard_insert();

create trigger guard_update before update on blog_generations
for each row when (
    old.status is distinct from new.status
    or old.attempt is distinct from new.attempt
    or old.worker_id is distinct from new.worker_id
) execute function blog_generations_guard_update();

create trigger after_insert after insert on blog_generations
referencing new table as new_rows
for each statement when (
    current_setting('check_function_bodies') <> 'off' or not has_table_privilege('blog_generations'::regclass, 'TRIGGER')
) execute function blog_generations_after_insert();

create trigger after_update after update on blog_generations
referencing old table as old_rows new table as new_rows
for each statement execute function blog_generations_after_update();

create trigger after_delete after delete on blog_generations
referencing old table as old_rows
for each statement execute function blog_generations_after_delete();

create trigger after_truncate after truncate on blog_generations
for each statement execute function blog_generations_after_truncate();

-- A site that comes back from a pause, or under a changed cap, joins the line like a new one. The lowest virtual time in
-- service is looked up once a statement: for each site, its index would lead over all that the statement has changed
-- so far.
create function sites_note_floor() returns trigger language plpgsql as $$
begin
    perform set_config('blogworker.service_floor', service_floor()::text, true);
    return null;
end
$$;

create trigger note_floor before update of paused_at, max_in_flight on sites
for each statement execute function sites_note_floor();

create function sites_rejoin() returns trigger language plpgsql as $$
begin
    new.at_cap := false; -- the next claim counts: jobs that end before this is committed may not know of the cap
    if new.paused_at is null then
        new.pause_reason := null;
        new.virtual_time := greatest(new.virtual_time, current_setting('blogworker.service_floor')::double precision);
        perform wake_workers();
    end if;
    return new;
end
$$;

create trigger rejoin before update on sites
for each row when (
    old.paused_at is distinct from new.paused_at or old.max_in_flight is distinct from new.max_in_flight
) execute function sites_rejoin();
