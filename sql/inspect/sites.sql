-- Who waits, who is served, who is held back?     psql "$DATABASE_URL" -f sql/inspect/sites.sql
\echo 'Sites with work, the longest wait first; service is jobs started in ten minutes, per unit of weight'
select
    v.instance_id,
    v.name,
    v.weight,
    v.pending,
    v.processing,
    v.started,
    round(v.service::numeric, 2) as service,
    date_trunc('second', v.longest_wait) as longest_wait,
    v.state
from site_service as v
order by v.longest_wait desc nulls last, v.service desc
limit 50;

\echo 'How even the service of the sites in line is (Jain''s index, 1 is even)'
select
    f.sites_in_line,
    round(f.least_service::numeric, 2) as least,
    round(f.most_service::numeric, 2) as most,
    round(f.jain::numeric, 4) as jain,
    date_trunc('second', f.longest_wait) as longest_wait,
    f.longest_waiting_site
from service_fairness as f;
