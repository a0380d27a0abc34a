-- migrate: no transaction
-- Every statement can be repeated: if one fails, all are.
-- The library of each site: what its posts are about, to find those that are related to a new one.
--
-- A post is found by the words that it shares with another. site_terms is an index from a word to the posts that have
-- it. A word that many posts have says little, and only its newest posts are looked at: so the cost of a search is
-- bounded on a site of any size (sql/queries/stages/related_posts.sql).
--
-- No foreign key leads to blog_generations: what is published stays in the library when its blog is pruned.
create table if not exists site_posts (
    instance_id text not null,
    generation_id bigint not null,
    title text not null,
    angle text not null, -- what this post says that others do not; empty where it is not known
    language text, -- null: the site had not set any
    terms text[] not null, -- as in site_terms
    url text, -- where it can be read; null: not published, or Wix did not give an address
    created_at timestamptz not null default now(),
    primary key (instance_id, generation_id),
    constraint texts_are_bounded check (
        length(instance_id) <= 200
        and length(title) <= 2000
        and length(angle) <= 2000
        and length(language) <= 100
        and cardinality(terms) <= 100
        and length(url) <= 10000
    ),
    constraint times_are_date_times check (
        created_at between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    )
);
-- migrate: next
create table if not exists site_terms (
    instance_id text not null,
    term text not null, -- the first letters of a word, in lower case: blogworker/stages/library.py
    generation_id bigint not null,
    primary key (instance_id, term, generation_id),
    constraint texts_are_bounded check (length(instance_id) <= 200 and length(term) <= 100)
);
-- migrate: next
-- Posts made before this version are found by the words of their titles and tags.
do $$
declare
    after bigint := 0;
    up_to bigint;
begin
    loop
        select max(b.generation_id) into up_to
        from (select p.generation_id from blog_posts as p where p.generation_id > after order by 1 limit 2000) as b;
        exit when up_to is null;
        with posts as (
            select
                p.instance_id, p.generation_id, left(p.title, 2000) as title,
                left(coalesce(s.output -> 'chosen' ->> 'angle', ''), 2000) as angle,
                case when p.wix_post_id is not null then p.url end as url,
                array(
                    select distinct left(regexp_replace(w.word, '(.{3})s$', '\1'), 6)
                    from regexp_split_to_table(
                        title_key(left(p.title || ' ' || array_to_string(p.tags[:10], ' '), 1000)), ' '
                    ) as w (word)
                    where length(w.word) >= 3 and w.word !~ '^[0-9]+$'
                    limit 24
                ) as terms
            from blog_posts as p
            left join generation_stages as s on s.generation_id = p.generation_id and s.stage = 'ideas'
            where p.generation_id > after and p.generation_id <= up_to
        ),

        added as (
            insert into site_posts (instance_id, generation_id, title, angle, url, terms)
            select p.instance_id, p.generation_id, p.title, p.angle, p.url, p.terms from posts as p
            on conflict do nothing -- a worker of this version has recorded it meanwhile
            returning instance_id, generation_id, terms
        )

        insert into site_terms (instance_id, term, generation_id)
        select a.instance_id, t.term, a.generation_id
        from added as a
        cross join unnest(a.terms) as t (term)
        on conflict do nothing;
        commit;
        after := up_to;
    end loop;
end
$$;
