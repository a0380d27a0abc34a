-- secure_functions: give all our functions a fixed search_path and revoke EXECUTE from PUBLIC.
select secure_functions();
