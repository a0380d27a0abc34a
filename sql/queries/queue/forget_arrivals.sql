-- forget_arrivals: delete arrivals of sites that were deleted, because nothing else would remove them.
-- Gives  one row: gone int.
with gone as (
    delete from site_arrivals as a
    where
        a.id = any (array(select n.id from site_arrivals as n order by n.id limit 10000))
        and not exists (select from sites as s where s.instance_id = a.instance_id)
    returning a.id
)

select count(*)::integer as gone from gone;
