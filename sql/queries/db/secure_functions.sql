-- secure_functions: give every function of ours a fixed search_path, and PUBLIC no right to call it; see 0017_roles.sql.
select secure_functions();
