-- The circuit breaker of each provider, shared by the fleet: one row of provider_health each.
--
--   closed --five strikes, or our key, credit or model refused--> open --its time has come--> half_open
--     ^------------------- the probe's success --------------------- <---------------------------'  |
--                                                              open  <--- its failure, a longer pause
--
-- A strike is a call that failed for the provider's sake; a success takes one back (a one-sided CUSUM, Page 1954). So
-- a provider that fails a tenth of its calls stays in service, one that fails half of them is left alone after some
-- twenty, one that fails all of them after five; three do when nothing has succeeded lately, as on a slow worker.
-- Where each call is one of some site's, a site holds one strike at most while another one is served: five sites in a row
-- are the vendor's trouble, one that fails all of its calls is not.
-- A person closes a breaker with: update provider_health set state = 'closed' where provider = 'openai';

alter table provider_health
    add column misconfigured boolean not null default false, -- open for our key, credit or model: waits for a person
    -- Since it opened, a main call was refused: of a post's text, a picture, a draft. That a lesser one (ideas, a look, a
    -- product) is taken says nothing of those.
    add column refused_main boolean not null default false,
    add column struck text[] not null default '{}', -- the site of each strike, the oldest first; null: the vendor has none
    add column strikes integer not null generated always as (cardinality(struck)) stored,
    add column succeeded_at timestamptz not null default to_timestamp(0),
    add column succeeded_site text, -- of the last success told; null: the vendor has none
    add column openings integer not null default 0, -- since it was closed: the pause grows with them
    add column epoch integer not null default 0, -- times it went from closed to open, ever
    add column opened_by uuid, -- the report that last opened it
    add column probe uuid, -- the one call that may go through
    add column probe_until timestamptz, -- then another may take its place: its worker is gone
    add column by_hand text check (by_hand in ('opened', 'closed')), -- by a person, until a worker has logged it
    add column open_s double precision check (open_s between 0 and 1e12), -- seconds open before a person closed it
    add constraint probed_exactly_while_half_open check ((state = 'half_open') = (probe is not null));

alter table provider_health set (fillfactor = 10);

insert into provider_health (provider) values ('openai'), ('replicate'), ('wix') on conflict do nothing;

create trigger give_way before insert on provider_health
for each row when (restoring()) execute function give_way('provider');

-- How long an open breaker waits before its next probe. A vendor that comes back is found within five seconds; our own
-- credit or key does not come back by itself.
create function breaker_pause(openings integer, misconfigured boolean) returns interval language sql immutable as $$
    select case
        when misconfigured then make_interval(secs => least(60, 5 * 2 ^ least(openings - 1, 10)))
        else make_interval(secs => least(5, 2 ^ least(openings - 1, 10)))
    end
$$;

-- Whoever closes it, a person included: nothing of the past counts, and the workers are told.
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

-- A person, in psql or with `blogworker breakers close`, writes the state alone; reports and probes write other columns too.
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

-- What one process has seen of a provider since it last told: failures, and the successes before them.
-- Takes    failed: the site of each failure, succeeded: that of the last success, null where the vendor has no sites;
--          refused: one of the failures was about our key, credit or model, which opens at once; main: it was a main call
--          that was; report: new with each, the same when it is told again because its answer was lost.
-- Gives    whether this very report opened the breaker: true to one caller in the fleet.
-- Locks    the provider's row for the length of one statement.
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
        return false; -- what is open is closed by its probe alone, and what was under way then is old news
    end if;
    h.struck := h.struck[successes + 1:];
    if successes > 0 then
        h.succeeded_at := t;
        h.succeeded_site := succeeded;
    end if;
    lately := h.succeeded_at >= t - interval '30 seconds';
    if lately and h.succeeded_site <> all (h.struck || failed) then -- another site is served, and has not failed since
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

-- The end of a probe. Says nothing when the probe has been replaced meanwhile, or a person has closed the breaker.
-- Takes    verdict: 'alive' closes; 'down' waits longer than the last time; 'unused': it was never sent, or says nothing;
--          refused, main: as above.
-- Gives    seconds the breaker had been open when this closed it; null: it did not.
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

-- Whether the product of this job has to be read from the site's shop before anything is written about it. In doubt yes:
-- `source.py` knows more spellings of a name.
create function needs_shop(g blog_generations) returns boolean language sql immutable as $$
    select g.source_type = 'product' and not g.source_data ?| array['name', 'title', 'product_name', 'productname']
$$;
