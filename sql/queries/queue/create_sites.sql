-- create_sites: create the sites of a bulk enqueue; see the function.
-- Takes  instance_ids text[].
select create_sites(%(instance_ids)s::text[]);
