-- are_you_there: does the connection live?
select 1 as yes;
