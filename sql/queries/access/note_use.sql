-- note_use: remember that a token was used.
-- Takes  token_id.
update api_tokens as t
set used_at = now()
where t.token_id = %(token_id)s and coalesce(t.used_at < now() - interval '1 minute', true);
