-- chaos_record_job: create the trigger function that fills chaos_history.
create function chaos_record_job() returns trigger language plpgsql
security definer set search_path = public, pg_temp as $$
begin
    if tg_op = 'UPDATE' and old.status = new.status then
        return null;
    end if;
    insert into chaos_history (job_id, instance_id, attempt, old_status, new_status, error, spent, unpaid)
    select
        coalesce(new.id, old.id),
        coalesce(new.instance_id, old.instance_id),
        coalesce(new.attempt, old.attempt),
        old.status,
        new.status,
        new.error,
        coalesce(new.failures > old.failures, false),
        coalesce(
            old.status = 'PROCESSING'
            and (
                old.stage in ('ideas', 'content')
                or (
                    old.stage = 'image'
                    and not exists (
                        select from generation_stages as s where s.generation_id = old.id and s.stage = 'image.prediction'
                    )
                )
            ),
            false
        );
    return null;
end
$$;
