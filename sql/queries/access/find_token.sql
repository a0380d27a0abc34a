-- find_token: the valid token with a hash.
-- Takes  hash bytea.
-- Gives  token_id, name, scopes, instance_ids; expires_in_s: null: never; no row if it is unknown, revoked or expired.
select
    t.token_id,
    t.name,
    t.scopes,
    t.instance_ids,
    extract(epoch from t.expires_at - now())::double precision as expires_in_s
from api_tokens as t
where t.hash = %(hash)s::bytea and t.revoked_at is null and coalesce(t.expires_at > now(), true);
