-- costs: what each statement of this database has cost, without those within functions.
-- Gives  one row per statement: query: its text, with constants replaced by the server; calls; ms: of planning and
--        execution in all; wal_bytes: written to the write-ahead log in all.
select
    s.query,
    s.calls::bigint as calls,
    (s.total_plan_time + s.total_exec_time)::double precision as ms,
    s.wal_bytes::bigint as wal_bytes
from pg_stat_statements as s
where s.dbid = (select d.oid from pg_database as d where d.datname = current_database()) and s.toplevel
order by s.total_exec_time desc;
