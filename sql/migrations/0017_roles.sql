-- Least privilege: `blogworker roles` creates the roles, blogworker/db/grants.py lists their privileges.
--
-- A producer calls enqueue_blog, which runs with the rights of the tables' owner, as triggers do. So no role needs
-- privileges on what triggers write: sites of new blogs, announcements, totals of spending.

-- Columns that the program maintains --------------------------------------------------------------------------------

-- A role that may not create triggers here sets only the source and the times of a blog that it inserts; all other columns
-- are reset. The id comes from the sequence, because a chosen id would make a later insert of another role fail.
create function blog_generations_guard_columns() returns trigger language plpgsql as $$
begin
    if new.status not in ('PENDING', 'SCHEDULED') then
        raise exception 'a blog cannot be inserted as %', new.status
        using
            errcode = 'insufficient_privilege',
            hint = 'Leave status alone. Only the owner of the table inserts blogs that were made elsewhere.';
    end if;
    new.id := nextval(pg_get_serial_sequence('blog_generations', 'id'));
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
execute function blog_generations_guard_columns(); -- the name sorts before guard_insert, so it runs first

-- Only reserve_spend, which runs as the owner, raises what an attempt may spend; save_checkpoint lowers it by what was
-- paid. A role that could write it could bypass the budgets of its site and of the fleet.
create function blog_generations_guard_reservation() returns trigger language plpgsql as $$
begin
    raise exception 'what blog % may spend cannot be written directly', old.id
    using errcode = 'insufficient_privilege', hint = 'Call reserve_spend.';
end
$$;

create trigger guard_reservation before update on blog_generations
for each row when (
    (
        old.reserved_for is distinct from new.reserved_for
        or (
            old.reserved_usd is distinct from new.reserved_usd
            and coalesce(new.reserved_usd > coalesce(old.reserved_usd, 0) or new.status <> 'PROCESSING', true)
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
    new.turn_cost := 1;
    new.paused_for := null;
    return new;
end
$$;

create trigger guard_columns before insert on sites
for each row when (not has_table_privilege('sites'::regclass, 'TRIGGER')) execute function sites_guard_columns();

-- Functions for producers -------------------------------------------------------------------------------------------

-- The limit in force: the caller's own, else that of its session, else the database's (`alter database d set
-- blogworker.queue_size_limit = n`), else 10,000. A role that may not update sites can lower it but not raise it above the
-- database's: the setting of a session is not trusted, because any role can change it.
create or replace function queue_size_limit(own integer) returns integer language plpgsql stable as $$
declare
    caller name := case
        when current_setting('role') = 'none' then session_user else current_setting('role')::name
    end; -- current_user is the owner, where a function of the owner's calls this
    wanted integer := coalesce(own, nullif(current_setting('blogworker.queue_size_limit', true), '')::integer);
    given integer;
begin
    if has_any_column_privilege(caller, 'sites'::regclass, 'UPDATE') then
        return coalesce(wanted, 10000);
    end if;
    select split_part(c.setting, '=', 2)::integer into given
    from pg_db_role_setting as s
    join pg_database as d on d.datname = current_database() and s.setdatabase in (d.oid, 0)
    cross join unnest(s.setconfig) as c (setting)
    where s.setrole = 0 and split_part(c.setting, '=', 1) = 'blogworker.queue_size_limit'
    order by s.setdatabase desc
    limit 1;
    return least(wanted, coalesce(given, 10000));
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

-- Adds a batch of blogs, and gives how many are new; repeated idempotency keys are skipped.
-- Takes    blogs: an array of objects with the arguments of enqueue_blog by name.
-- Raises   BW503 when the queue, or the site's share, is full; 23514 when a check of blog_generations refuses a row.
-- Locks    the keys, in one order, so that two batches of the same keys cannot deadlock.
create function enqueue_blogs(blogs jsonb) returns integer language sql volatile as $$
    with incoming as materialized (
        select nextval(pg_get_serial_sequence('blog_generations', 'id')) as id, b.*
        from jsonb_to_recordset(blogs) as b (
            instance_id text, source_type text, source_id text, source_data jsonb, priority smallint,
            run_at timestamptz, publish_at timestamptz, idempotency_key text, max_attempts integer, publish_mode text
        )
    ),

    added as (
        insert into blog_generations (
            id, instance_id, source_type, source_id, source_data, priority, run_at, idempotency_key, max_attempts,
            publish_mode
        )
        overriding system value
        select
            i.id, i.instance_id, i.source_type, i.source_id, coalesce(i.source_data, '{}'), coalesce(i.priority, 0),
            coalesce(i.run_at, now()), i.idempotency_key, coalesce(i.max_attempts, 5), i.publish_mode
        from incoming as i
        order by i.instance_id, i.idempotency_key
        on conflict on constraint blog_generations_idempotency_key do nothing
        returning id
    ),

    timed as (
        insert into scheduled_blogs (blog_generation_id, publish_at)
        select i.id, i.publish_at
        from incoming as i
        join added as a using (id)
        where i.publish_at is not null
    )

    select count(*)::integer from added
$$;

-- Names and rights ---------------------------------------------------------------------------------------------------

-- Makes every function of ours resolve names in the schema of our tables only, whatever the caller's search_path, and
-- revokes EXECUTE from PUBLIC. Triggers, and the functions through which producers and workers write what they may not
-- write themselves, run with the rights of their owner.
--
-- An SQL function is recreated with a body that is parsed now (begin atomic), so that it can still be inlined; a function
-- with a setting cannot. All other functions get a fixed search_path.
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
            p.prorettype = 'trigger'::regtype and p.proname <> 'give_way' as is_trigger,
            p.proname in (
                'enqueue_blog', 'enqueue_blogs', 'create_sites', 'require_room', 'reserve_slug', 'reserve_spend',
                'reserve_title'
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
            -- If it were off, triggers would take the rows that it inserts as the owner for a dump.
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

-- The names of all our functions; the schema may hold functions of others.
create function own_functions() returns text[] language sql immutable as $$
    select array[
        'announce_sites', 'blog_generations_after_delete', 'blog_generations_after_insert',
        'blog_generations_after_truncate', 'blog_generations_after_update', 'blog_generations_guard_attempt',
        'blog_generations_guard_columns', 'blog_generations_guard_insert', 'blog_generations_guard_line',
        'blog_generations_guard_reservation', 'blog_generations_guard_update', 'blog_generations_within_limits',
        'blogs_per_minute', 'breaker_end_probe', 'breaker_pause', 'breaker_report', 'bucket_needs',
        'compare_titles', 'create_sites', 'enqueue_blog', 'enqueue_blogs', 'estimated_wait_minutes',
        'expected_wait_s', 'fleet_blocked_s', 'fleet_budget_changed', 'fleet_capacity', 'fleet_needs',
        'forget_deleted_draft', 'forget_from', 'forget_rejected_work', 'forget_work', 'generation_errors_waste', 'give_way',
        'in_hand_usd', 'is_published', 'is_shown', 'json_number',
        'keep_all_titles', 'keep_titles', 'line_number', 'made_of', 'needs_shop', 'note_queue_size', 'over_budget',
        'own_functions', 'pending_count', 'provider_health_by_hand', 'provider_health_closed', 'provider_usage_summed', 'queue_size_limit',
        'quota_ahead_s', 'quota_cost', 'quota_counted', 'quota_last_minute', 'quota_moved_on', 'quota_pace',
        'quota_round', 'quota_shown', 'quota_slot', 'refuse_blogs', 'release_title', 'reopen_capped_sites', 'require_room',
        'require_site_room', 'require_storable', 'reserve_slug', 'reserve_spend', 'reserve_title', 'restoring',
        'retry_stage', 'secure_functions',
        'service_floor', 'site_has_pending', 'site_in_flight', 'sites_budgeted', 'sites_guard_columns',
        'shell_word', 'sites_in_line', 'sites_note_floor', 'sites_rejoin', 'spare_published', 'spending_at', 'spent_usd',
        'stage_number', 'stage_rooms', 'standard_blog_tokens', 'title_key', 'title_likeness', 'title_limit',
        'title_trigrams', 'titles_like', 'usd_text', 'utc_day', 'waiting_sites', 'wake_workers'
    ]
$$;

select secure_functions();
