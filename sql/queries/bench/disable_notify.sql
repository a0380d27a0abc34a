-- disable_notify: replace the function that notifies the workers, so that it does nothing.
create or replace function wake_workers() returns void language sql volatile as $$
    select null::void
$$;
