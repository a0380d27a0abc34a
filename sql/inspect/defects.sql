-- What is wrong with the posts that models write?     psql "$DATABASE_URL" -f sql/inspect/defects.sql
\echo 'Defects of the stored posts: repaired by us, or returned to the model'
select d.defect, d.repaired, d.returned, date_trunc('second', now() - d.last_at) as last_ago
from post_defects as d
order by d.repaired + d.returned desc, d.defect
limit 100;
