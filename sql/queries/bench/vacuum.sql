-- vacuum: what autovacuum would have done by the time a backlog has grown.
vacuum analyze;
