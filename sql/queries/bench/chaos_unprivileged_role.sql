-- chaos_unprivileged_role: create a role that may connect, and nothing else.
create role chaos_unprivileged login password 'chaos';
