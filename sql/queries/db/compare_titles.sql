-- compare_titles: make the functions that compare titles, by what the database has now; see 0010_ideas.sql.
select compare_titles();
