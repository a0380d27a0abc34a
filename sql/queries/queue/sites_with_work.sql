-- sites_with_work: sites that a batch statement could serve: they have due or running jobs, arrivals, or bills. Used
-- only when a row of one of them may have made such a statement fail.
-- Takes  most int: most sites, at random.
-- Gives  rows: instance_id.
select w.instance_id
from (
    select g.instance_id from blog_generations as g where g.status = 'SCHEDULED' and g.run_at <= now()
    union
    select g.instance_id from blog_generations as g where g.status = 'PENDING' and g.line is null and g.run_at <= now()
    union
    select g.instance_id from blog_generations as g where g.status = 'PROCESSING'
    union
    select a.instance_id from site_arrivals as a
    union
    select b.instance_id from site_bills as b
    union
    select s.instance_id from sites as s where s.at_cap and s.ready and s.capped_until <= now()
) as w
order by random()
limit %(most)s::integer;
