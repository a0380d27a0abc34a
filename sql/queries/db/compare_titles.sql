-- compare_titles: create the functions that compare titles, by what the database has now; see sql/schema/titles.sql.
select compare_titles();
