-- chaos_worker_role: the workers' own login, which has what every worker is granted.
create role chaos_worker login password 'chaos' in role blogworker_worker;
