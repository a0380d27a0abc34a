-- bloat: the size of the tables of jobs and sites and of their indexes, and their dead rows.
-- Gives  one row: jobs_mb, pending_index_kb, sites_kb, dead_jobs, dead_sites, live_jobs.
select
    pg_relation_size('blog_generations') / 1048576.0 as jobs_mb,
    pg_relation_size('blog_generations_pending_idx') / 1024 as pending_index_kb,
    (pg_relation_size('sites') + pg_relation_size('sites_in_line_idx')) / 1024 as sites_kb,
    j.n_dead_tup as dead_jobs,
    j.n_live_tup as live_jobs,
    s.n_dead_tup as dead_sites
from pg_stat_user_tables as j, pg_stat_user_tables as s
where j.relname = 'blog_generations' and s.relname = 'sites';
