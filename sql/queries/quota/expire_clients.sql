-- expire_clients: delete the state of bucket clients that have sent no refund for a long time, and the requests that
-- such clients have left in line.
-- Takes  idle_s.
-- Gives  one row: forgotten int.
-- Locks  those clients, skipping the ones that other transactions have locked.
with idle as (
    select r.client_id
    from quota_rounds as r
    where r.at < clock_timestamp() - make_interval(secs => %(idle_s)s)
    for update skip locked
),

left_behind as (
    delete from quota_waits as w where w.seen_at < clock_timestamp() - make_interval(secs => %(idle_s)s)
),

gone as (delete from quota_rounds as r using idle as i where r.client_id = i.client_id returning 1 as one)

select count(*)::integer as forgotten from gone;
