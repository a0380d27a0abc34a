-- forget_bills: delete bills of sites that were deleted, because nothing else would remove them.
-- Gives  one row: gone int.
with gone as (
    delete from site_bills as b
    where
        b.id = any (array(select n.id from site_bills as n order by n.id limit 10000))
        and not exists (select from sites as s where s.instance_id = b.instance_id)
    returning b.id
)

select count(*)::integer as gone from gone;
