-- list_tokens: the tokens, without their hashes.
-- Gives  rows: token_id, name, scopes, instance_ids, created_at, expires_at, revoked_at, used_at; valid: it is accepted.
select
    t.token_id,
    t.name,
    t.scopes,
    t.instance_ids,
    t.created_at,
    t.expires_at,
    t.revoked_at,
    t.used_at,
    t.revoked_at is null and coalesce(t.expires_at > now(), true) as valid
from api_tokens as t
order by valid desc, t.name, t.token_id;
