-- note_use: remember that a token was used.
-- Takes  token_id.
-- Locks  the token, unless another transaction has locked it.
update api_tokens as t
set used_at = now()
where
    t.token_id in (
        select u.token_id
        from api_tokens as u
        where u.token_id = %(token_id)s and coalesce(u.used_at < now() - interval '1 minute', true)
        for no key update skip locked
    );
