-- listen: be told of work on this connection.
listen blogworker_jobs;
