-- add_statistics: add the view of the statements that the private server counts.
create extension if not exists pg_stat_statements;
