-- migrate: no transaction
-- Backfill in batches that commit. Repeatable: what is done is skipped.
do $$
declare
    after bigint := 0;
    up_to bigint;
begin
    loop
        select max(b.id) into up_to
        from (
            select g.id from blog_generations as g where g.id > after and g.status <> 'SCHEDULED' order by g.id limit 2000
        ) as b;
        exit when up_to is null;
        update blog_generations as g set language = 'de'
        where g.id > after and g.id <= up_to and g.language is null and g.status <> 'SCHEDULED';
        commit;
        raise notice 'jobs up to % have a language', up_to;
        after := up_to;
    end loop;
end
$$;
-- migrate: next
alter table blog_generations validate constraint language_is_known;
-- migrate: next
drop index concurrently if exists blog_generations_language_idx;
-- migrate: next
create index concurrently blog_generations_language_idx on blog_generations (language, id);
