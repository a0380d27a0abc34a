-- chaos_record_answer: create the trigger function that fills chaos_answers.
create function chaos_record_answer() returns trigger language plpgsql
security definer set search_path = public, pg_temp as $$
begin
    insert into chaos_answers values (new.generation_id, new.stage, md5(new.output::text)) on conflict do nothing;
    return null;
end
$$;
