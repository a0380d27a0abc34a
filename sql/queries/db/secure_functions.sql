-- secure_functions: give all our functions a fixed search_path and revoke EXECUTE from PUBLIC; see sql/schema/rights.sql.
select secure_functions();
