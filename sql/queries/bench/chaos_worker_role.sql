-- chaos_worker_role: the workers' own role.
create role chaos_worker login password 'chaos';
