-- chaos_worker_role: create the login of the workers, with the privileges of every worker.
create role chaos_worker login password 'chaos' in role blogworker_worker;
