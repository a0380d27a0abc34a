-- The library of each site: what its posts are about, to find those that are related to a new one.
--
-- A post is found by the words that it shares with another. site_terms is an index from a word to the posts that have
-- it. A word that many posts have says little, and only its newest posts are looked at: so the cost of a search is
-- bounded on a site of any size (related_posts.sql).
--
-- No foreign key leads to blog_generations: what is published stays in the library when its job is pruned.
create table site_posts (
    instance_id text not null,
    generation_id bigint not null,
    title text not null,
    angle text not null, -- what this post says that others do not; empty if unknown
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

create table site_terms (
    instance_id text not null,
    term text not null, -- the first letters of a word, in lower case: blogworker/stages/library.py
    generation_id bigint not null,

    primary key (instance_id, term, generation_id),
    constraint texts_are_bounded check (length(instance_id) <= 200 and length(term) <= 100)
);
