-- create_sites: make the sites of a bulk enqueue, in one order, so that two bulks with the same new sites cannot
-- deadlock over them.
-- Takes  instance_ids text[].
insert into sites (instance_id)
select i.instance_id
from unnest(%(instance_ids)s::text[]) as i (instance_id)
order by i.instance_id
on conflict do nothing;
