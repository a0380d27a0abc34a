-- secure_functions: give all our functions a fixed search_path and revoke EXECUTE from PUBLIC; see 0017_roles.sql.
select secure_functions();
