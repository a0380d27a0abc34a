-- connected_to: the database this connection is in.
-- Gives  one row: name.
select current_database() as name;
