-- recall: what was remembered under a key, if it is still good.
-- Takes  key.
-- Gives  one row: value jsonb; or none.
select c.value from cache as c where c.key = %(key)s and c.expires_at > now();
