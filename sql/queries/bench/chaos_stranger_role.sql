-- chaos_stranger_role: a role that may connect, and nothing else.
create role chaos_stranger login password 'chaos';
