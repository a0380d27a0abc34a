-- forget: remove what was remembered under a key.
-- Takes  key.
delete from cache as c where c.key = %(key)s;
