-- create_token: store the hash of a new token.
-- Takes  name; hash bytea; scopes text[]; instance_ids text[], null: all sites; expires_s: seconds until it expires, null:
--        never.
-- Gives  the token without its hash; no row if a valid token has the name.
insert into api_tokens as t (name, hash, scopes, instance_ids, expires_at)
values (
    %(name)s,
    %(hash)s::bytea,
    %(scopes)s::text[],
    %(instance_ids)s::text[],
    now() + make_interval(secs => %(expires_s)s::double precision)
)
on conflict (name) where revoked_at is null do nothing
returning t.token_id, t.name, t.scopes, t.instance_ids, t.created_at, t.expires_at, t.revoked_at, t.used_at;
