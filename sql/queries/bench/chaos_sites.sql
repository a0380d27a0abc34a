-- chaos_sites: the innocent sites whose place in the line is no longer a number that can be compared with others.
-- Gives  instance_id of each.
select s.instance_id
from sites as s
where
    s.instance_id like 'chaos-site-%%'
    and s.virtual_time = any (array['NaN', 'Infinity', '-Infinity']::double precision[])
order by s.instance_id;
