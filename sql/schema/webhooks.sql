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
