-- site_known: whether a site exists, and if not, which sites exist.
-- Takes  instance_id.
-- Gives  known: it has a row, or money was spent for it; others: if it is unknown, the ids of at most 10,000 sites.
with asked as (
    select
        exists (select from sites as s where s.instance_id = %(instance_id)s)
        or exists (select from site_spend as p where p.instance_id = %(instance_id)s) as known
)

select
    a.known,
    case
        when not a.known then array(select s.instance_id from sites as s order by s.instance_id limit 10000)
    end as others
from asked as a;
