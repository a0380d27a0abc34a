-- recall: read the cached value of a key, if it has not expired.
-- Takes  key.
-- Gives  one row: value jsonb; or no row.
select c.value from cache as c where c.key = %(key)s and c.expires_at > now();
