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
