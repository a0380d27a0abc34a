-- statements: the statements that sessions of this database have run, without those within functions.
-- Gives  one row: statements.
select coalesce(sum(s.calls), 0)::bigint as statements
from pg_stat_statements as s
where s.dbid = (select d.oid from pg_database as d where d.datname = current_database());
