-- ping: does the connection work?
select 1 as yes;
