-- chaos_sites: the ordinary sites whose virtual time is not a finite number.
-- Gives  instance_id of each.
select s.instance_id
from sites as s
where
    s.instance_id like 'chaos-site-%%'
    and s.virtual_time = any (array['NaN', 'Infinity', '-Infinity']::double precision[])
order by s.instance_id;
