-- compare_titles: create the functions that compare titles, depending on the extensions that the database has.
select compare_titles();
