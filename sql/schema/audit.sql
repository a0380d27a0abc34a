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
