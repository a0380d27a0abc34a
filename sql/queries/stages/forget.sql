-- forget: remove the cached value of a key.
-- Takes  key.
delete from cache as c where c.key = %(key)s;
