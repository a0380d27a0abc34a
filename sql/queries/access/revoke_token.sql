-- revoke_token: end a token. HTTP servers notice within seconds.
-- Takes  name.
-- Gives  token_id, revoked_at; no row if no token that is not revoked has the name.
update api_tokens as t
set revoked_at = now()
where t.name = %(name)s and t.revoked_at is null
returning t.token_id, t.revoked_at;
