-- Titles and slugs: a site never has the same title twice, nor two that are much alike, nor two posts with one slug.

-- The titles of each site: chosen for a job, or published.
create table site_titles (
    instance_id text not null references sites,
    key text not null, -- the title in the form that is compared
    title text not null,
    source text not null default '', -- digest of its source
    generation_id bigint unique, -- null: the job was pruned; its title remains
    created_at timestamptz not null default now(),

    primary key (instance_id, key),
    constraint texts_are_bounded check (
        length(key) <= 2000 and length(title) <= 2000 and length(source) <= 200
    ),
    constraint times_are_date_times check (
        created_at between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    )
);

-- The slugs of the posts of each site.
create table site_slugs (
    instance_id text not null references sites,
    slug text not null,
    generation_id bigint unique, -- null: the job was pruned; its slug remains
    created_at timestamptz not null default now(),

    primary key (instance_id, slug),
    constraint texts_are_bounded check (length(slug) <= 200),
    constraint times_are_date_times check (
        created_at between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    )
);

-- A title without case, spacing and the punctuation of ASCII. Other characters stay: in the C locale [:alnum:] knows
-- no Cyrillic.
create function title_key(title text) returns text language sql immutable parallel safe as $$
    select coalesce(nullif(btrim(regexp_replace(lower(title), '[[:space:]!-/:-@\[-`{-~]+', ' ', 'g')), ''), title)
$$;

-- Comparing titles ---------------------------------------------------------------------------------------------------

-- pg_trgm has been trusted since Postgres 13: who may create in the database may create it. Where it is missing or not
-- allowed, titles are compared without it.
do $$
begin
    create extension if not exists pg_trgm;
exception when insufficient_privilege or feature_not_supported or undefined_file then
    raise notice 'pg_trgm cannot be created (%): titles are compared without an index', sqlerrm;
end
$$;

-- Creates the functions that compare titles, with pg_trgm if the database has it:
--   title_likeness: how alike two titles are, from 0 to 1: trigrams that both have, divided by those that either has;
--   titles_like: the titles of a site that are like this one, except those of one job;
--   title_limit: the least likeness that counts; it must be called first in the same transaction.
--
-- Measured among 100,000 titles of one site and as many of other sites: 38 ms by the index of pg_trgm, 930 ms by
-- comparing all titles of the site. Without pg_trgm 110 ms among 10,000, in proportion to the site. Rejected: arrays
-- of numbered trigrams under a GIN index of Postgres itself, probed for any of a quarter of them (720 ms and more:
-- half of the titles share one of ten).
--
-- The functions that use pg_trgm are parsed when they are created. So they work whatever schema it is in, follow it
-- to another one, and keep it from being dropped. `drop extension ... cascade` drops them too: `blogworker migrate`
-- then calls this again. An extension that is created when there are many titles is not used, because building its
-- index would block everybody who claims a title.
create function compare_titles() returns void language plpgsql volatile as $do$
declare
    home text; -- the schema of pg_trgm, quoted
    of_use boolean := false;
begin
    select quote_ident(n.nspname) into home
    from pg_extension as e
    join pg_namespace as n on n.oid = e.extnamespace
    where
        e.extname = 'pg_trgm'
        and has_schema_privilege(n.oid, 'USAGE')
        and not exists (select from site_titles offset 10000);
    if found then
        -- In the C locale it sees only the letters of ASCII, and is of no use for other alphabets.
        execute format('select %s.similarity(t, t) = 1 from (values (chr($1))) as d (t)', home) using 1078 into of_use;
    end if;
    if of_use then
        execute format(
            'create index site_titles_key_trigrams_idx on site_titles using gin (key %s.gin_trgm_ops)', home
        );
        execute format($sql$
            create or replace function title_likeness(one text, other text) returns real
            language sql immutable parallel safe return %s.similarity(one, other)
        $sql$, home);
        create or replace function title_limit() returns real language plpgsql volatile as $$
        begin
            perform title_likeness('', ''); -- loads the library: only then is its setting known
            return set_config('pg_trgm.similarity_threshold', '0.75', true)::real;
        end
        $$;
        execute format($sql$
            create or replace function titles_like(site text, wanted text, but_for bigint, least_likeness real)
            returns table (title text, key text, source text, likeness real) language sql stable
            begin atomic
                select t.title, t.key, t.source, title_likeness(t.key, wanted)
                from site_titles as t
                where
                    t.instance_id = site
                    and t.key operator(%s.%%) wanted
                    and t.generation_id is distinct from but_for;
            end
        $sql$, home);
    else
        create or replace function title_trigrams(key text) returns text[] language sql immutable parallel safe as $$
            select array_agg(distinct substr('  ' || w.word || ' ', n, 3))
            from regexp_split_to_table(key, ' ') as w (word)
            cross join lateral generate_series(1, length(w.word) + 1) as n
        $$;
        create or replace function title_likeness(one text, other text) returns real
        language sql immutable parallel safe as $$
            select (
                cardinality(a.grams) + cardinality(b.grams) - cardinality(u.grams)
            )::real / cardinality(u.grams)
            from (select title_trigrams(one) as grams) as a
            cross join (select title_trigrams(other) as grams) as b
            cross join (select title_trigrams(one || ' ' || other) as grams) as u
        $$;
        create or replace function title_limit() returns real language sql immutable as $$ select 0.75::real $$;
        -- Shared trigrams are counted by a text search, which is cheap: only titles with enough of them are compared.
        create or replace function titles_like(site text, wanted text, but_for bigint, least_likeness real)
        returns table (title text, key text, source text, likeness real) language sql stable as $$
            with asked as materialized (select title_trigrams(wanted) as grams)

            select t.title, t.key, t.source, l.likeness
            from asked as a
            cross join site_titles as t
            cross join lateral (
                select count(*) as shared
                from unnest(a.grams) as g (gram)
                where strpos('  ' || replace(t.key, ' ', '   ') || ' ', g.gram) > 0
            ) as s
            cross join lateral (
                select case
                    when s.shared >= least_likeness * cardinality(a.grams) then title_likeness(t.key, wanted)
                end as likeness
            ) as l
            where
                t.instance_id = site
                and t.generation_id is distinct from but_for
                and l.likeness >= least_likeness
        $$;
    end if;
    if to_regprocedure('secure_functions()') is not null then -- not yet while the schema is being created
        perform secure_functions();
    end if;
end
$do$;

select compare_titles();

-- Claiming -----------------------------------------------------------------------------------------------------------

-- The titles of a site that are like this one.
-- Gives  one row: likeness of the nearest, null: none is like it; same: one of them is the same, or of the same source;
--        titles, the nearest first.
-- Hints  Planned for each call, because sites differ in the number of their titles by five orders of magnitude.
create function nearest_titles(site text, wanted_key text, made_of text, but_for bigint, least_likeness real)
returns table (likeness real, same boolean, titles text[]) language plpgsql volatile
set plan_cache_mode = force_custom_plan as $$
begin
    return query
    select
        max(l.likeness), bool_or(l.key = wanted_key or l.source = made_of), array_agg(l.title order by l.likeness desc)
    from titles_like(site, wanted_key, but_for, least_likeness) as l;
end
$$;

-- Claims the first of these titles that is not like another title of the site.
-- Takes  the fence of the attempt; wanted: titles, the best first; made_of: digest of the source; last_chance: if all
--        are like others, take the least alike, but never the same title, nor one like a title of the same source.
-- Gives  no row if the claim is lost; else one: place in wanted, null if no title is free; taken: the titles of the
--        site that were in the way.
-- Locks  the job; then the turn of the site for titles, until the end of the transaction: the jobs of one site choose
--        one after the other, and each sees what those before it chose.
create function claim_title(
    job bigint, job_attempt integer, worker uuid, wanted text[], made_of text, last_chance boolean
)
returns table (place integer, taken text[]) language plpgsql volatile as $$
#variable_conflict use_column
declare
    site text;
    wanted_key text;
    nearest record;
    alike_from real;
    least_likeness real := 2;
    spare integer;
begin
    select g.instance_id into site
    from blog_generations as g
    where is_attempt(g, job, job_attempt, worker)
    for no key update;
    if not found then
        return;
    end if;
    taken := '{}';
    if exists (select from site_titles as t where t.generation_id = job and t.title = wanted[1]) then
        place := 1; -- it has claimed this title before
        return next;
        return;
    end if;
    perform take_turn('titles', site);
    alike_from := title_limit();
    for n in 1 .. cardinality(wanted) loop
        wanted_key := title_key(wanted[n]);
        select n.likeness, n.same, n.titles into nearest
        from nearest_titles(site, wanted_key, made_of, job, alike_from) as n;
        if nearest.likeness is null and not exists (
            select from site_titles as t
            where t.instance_id = site and t.key = wanted_key and t.generation_id is distinct from job
        ) then -- catches the same title even if it has no letter, so no trigram
            place := n;
            exit;
        end if;
        taken := taken || coalesce(nearest.titles[1], wanted[n]);
        if not nearest.same and nearest.likeness < least_likeness then
            least_likeness := nearest.likeness;
            spare := n;
        end if;
    end loop;
    if place is null and last_chance then
        place := spare;
    end if;
    if place is not null then
        wanted_key := title_key(wanted[place]);
        delete from site_titles as t where t.generation_id = job;
        insert into site_titles (instance_id, key, title, source, generation_id)
        values (site, wanted_key, wanted[place], made_of, job);
    end if;
    return next;
end
$$;

-- Claims a slug that no other job of the site has: the first of these that is free, else stem-2, stem-3 and so on.
-- A job that already has one of these keeps it, so that a later attempt does not change an address.
-- Takes  the fence of the attempt; wanted: slugs, the best first; stem: a slug with room for a number behind it.
-- Gives  the slug; null if the claim is lost.
-- Locks  the same as claim_title.
create function claim_slug(job bigint, job_attempt integer, worker uuid, wanted text[], stem text)
returns text language plpgsql volatile as $$
declare
    site text;
    found_slug text;
    counter integer := 2;
begin
    select g.instance_id into site
    from blog_generations as g
    where is_attempt(g, job, job_attempt, worker)
    for no key update;
    if not found then
        return null;
    end if;
    perform take_turn('titles', site);
    select s.slug into found_slug
    from site_slugs as s
    where
        s.generation_id = job
        and (
            s.slug = any (wanted)
            or (starts_with(s.slug, stem || '-') and substr(s.slug, length(stem) + 2) ~ '^[0-9]+$')
        );
    if found then
        return found_slug;
    end if;
    delete from site_slugs as s where s.generation_id = job;
    select w.slug into found_slug
    from unnest(wanted) with ordinality as w (slug, place)
    where not exists (select from site_slugs as s where s.instance_id = site and s.slug = w.slug)
    order by w.place
    limit 1;
    while found_slug is null loop
        if not exists (
            select from site_slugs as s where s.instance_id = site and s.slug = stem || '-' || counter
        ) then
            found_slug := stem || '-' || counter;
        end if;
        counter := counter + 1;
    end loop;
    insert into site_slugs (instance_id, slug, generation_id) values (site, found_slug, job);
    return found_slug;
end
$$;

-- Releasing ----------------------------------------------------------------------------------------------------------

-- A job cancelled before any of its text was paid for releases its title and its slug, and chooses again if a person
-- retries it. A FAILED job keeps them: it waits for a retry, and an idea that could not be written is of no use to
-- others.
create function release_title() returns trigger language plpgsql as $$
begin
    if old.stage in ('ideas', 'content') and not exists (
        select from generation_stages as s
        where s.generation_id = old.id and s.stage like 'content%' and s.stage <> 'content.forgotten'
    ) then
        delete from site_titles as t where t.generation_id = old.id;
        delete from site_slugs as u where u.generation_id = old.id;
        delete from generation_stages as s where s.generation_id = old.id and s.stage = 'ideas';
        new.stage := 'ideas';
    end if;
    return new;
end
$$;

create trigger release_title before update on blog_generations
for each row when (new.status = 'CANCELLED' and old.status is distinct from new.status)
execute function release_title();

-- What is published keeps its title and slug, whatever happens to its row. A job that was deleted before it was DONE is
-- looked up first, because its checkpoints go with it.
create function keep_published_titles() returns trigger language plpgsql as $$
begin
    if is_published(old.id) then
        update site_titles as t set generation_id = null where t.generation_id = old.id;
        update site_slugs as u set generation_id = null where u.generation_id = old.id;
    end if;
    return old;
end
$$;

create trigger keep_published_titles before delete on blog_generations
for each row when (old.status <> 'DONE') execute function keep_published_titles();

create function keep_titles() returns trigger language plpgsql as $$
begin
    delete from site_titles as t using old_rows as o where t.generation_id = o.id and o.status <> 'DONE';
    update site_titles as t set generation_id = null from old_rows as o where t.generation_id = o.id;
    delete from site_slugs as u using old_rows as o where u.generation_id = o.id and o.status <> 'DONE';
    update site_slugs as u set generation_id = null from old_rows as o where u.generation_id = o.id;
    return null;
end
$$;

create trigger keep_titles after delete on blog_generations
referencing old table as old_rows
for each statement execute function keep_titles();

create function keep_all_titles() returns trigger language plpgsql as $$
begin
    update site_titles as t set generation_id = null where t.generation_id is not null;
    update site_slugs as u set generation_id = null where u.generation_id is not null;
    return null;
end
$$;

create trigger keep_all_titles after truncate on blog_generations
for each statement execute function keep_all_titles();
