-- notify_off: the same triggers, without a notification.
create or replace function wake_workers() returns void language sql volatile as $$
    select null::void
$$;
