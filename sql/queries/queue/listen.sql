-- listen: receive notifications on this connection.
listen blogworker_jobs;
