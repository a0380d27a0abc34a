-- chaos_note_answer: the function that writes them down.
create function chaos_note_answer() returns trigger language plpgsql
security definer set search_path = public, pg_temp as $$
begin
    insert into chaos_answers values (new.generation_id, new.stage, md5(new.output::text)) on conflict do nothing;
    return null;
end
$$;
