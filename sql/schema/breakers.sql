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
