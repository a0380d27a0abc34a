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
