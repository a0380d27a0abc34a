-- chaos_worker_grants: what the workers may do: read and write rows.
grant select, insert, update, delete on all tables in schema public to chaos_worker;
