-- forget_desks: drop what is known of desks that gave back nothing for long; their rounds cannot be sent again any more.
-- Takes  idle_s.
-- Gives  one row: forgotten int.
-- Locks  those desks, skipping the ones that others hold.
with idle as (
    select r.desk_id
    from quota_rounds as r
    where r.at < clock_timestamp() - make_interval(secs => %(idle_s)s)
    for update skip locked
),

gone as (delete from quota_rounds as r using idle as i where r.desk_id = i.desk_id returning 1 as one)

select count(*)::integer as forgotten from gone;
