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
