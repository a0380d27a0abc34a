-- vacuum: do what autovacuum does while a backlog grows.
vacuum analyze;
