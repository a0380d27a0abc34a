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

-- Adds the post of a job to the library of its site, or updates it there. The caller has locked the job.
-- Takes  entry: title, angle, language (null: unknown), terms.
create function record_post(job bigint, site text, entry jsonb) returns void language plpgsql volatile as $$
declare
    found_by text[] := array(select jsonb_array_elements_text(entry -> 'terms'));
begin
    delete from site_terms as t
    using site_posts as p
    where
        p.instance_id = site
        and p.generation_id = job
        and t.instance_id = site
        and t.generation_id = job
        and t.term = any (p.terms)
        and t.term <> all (found_by);
    insert into site_posts as p (instance_id, generation_id, title, angle, language, terms)
    values (site, job, entry ->> 'title', entry ->> 'angle', entry ->> 'language', found_by)
    on conflict (instance_id, generation_id) do update
    set title = excluded.title, angle = excluded.angle, language = excluded.language, terms = excluded.terms;
    insert into site_terms (instance_id, term, generation_id)
    select site, t.term, job from unnest(found_by) as t (term)
    on conflict do nothing;
end
$$;

-- Stores the post of a job; a column that is missing or null keeps its value. The caller has locked the job. Once the
-- post is published and has an address, the library gets the address too.
-- Takes  post: columns of blog_posts by name, without the bytes of the picture; picture: these bytes. Without a title
--        only the columns that are known after the text are changed, which costs nothing for the large ones.
-- Gives  false if there is no row and the post has no title: then nothing was stored.
create function store_post(job bigint, site text, post jsonb, picture bytea) returns boolean
language plpgsql volatile as $$
declare
    p record;
begin
    select r.* into p
    from jsonb_to_record(post) as r (
        title text, slug text, excerpt text, markdown text, html text, tags text[], seo_title text, seo_description text,
        word_count integer, image_type text, image_alt text, image_prompt text, wix_media_id text, wix_draft_id text,
        wix_post_id text, url text, score smallint
    );
    if p.wix_post_id is not null and p.url is not null then
        update site_posts as l set url = p.url where l.instance_id = site and l.generation_id = job;
    end if;
    if p.title is null then
        update blog_posts as b
        set
            image = coalesce(picture, b.image),
            image_type = coalesce(p.image_type, b.image_type),
            image_prompt = coalesce(p.image_prompt, b.image_prompt),
            wix_media_id = coalesce(p.wix_media_id, b.wix_media_id),
            wix_draft_id = coalesce(p.wix_draft_id, b.wix_draft_id),
            wix_post_id = coalesce(p.wix_post_id, b.wix_post_id),
            url = coalesce(p.url, b.url),
            updated_at = now(),
            published_at = coalesce(b.published_at, case when p.wix_post_id is not null then now() end)
        where b.generation_id = job;
        return found;
    end if;
    insert into blog_posts as b (
        generation_id, instance_id, title, slug, excerpt, markdown, html, tags, seo_title, seo_description, word_count,
        image, image_type, image_alt, image_prompt, wix_media_id, wix_draft_id, wix_post_id, url, score, published_at
    )
    values (
        job, site, p.title, p.slug, p.excerpt, p.markdown, p.html, coalesce(p.tags, '{}'), p.seo_title, p.seo_description,
        p.word_count, picture, p.image_type, p.image_alt, p.image_prompt, p.wix_media_id, p.wix_draft_id, p.wix_post_id,
        p.url, p.score, case when p.wix_post_id is not null then now() end
    )
    on conflict (generation_id) do update
    set
        title = coalesce(excluded.title, b.title),
        slug = coalesce(excluded.slug, b.slug),
        excerpt = coalesce(excluded.excerpt, b.excerpt),
        markdown = coalesce(excluded.markdown, b.markdown),
        html = coalesce(excluded.html, b.html),
        tags = case when excluded.tags = '{}' then b.tags else excluded.tags end,
        seo_title = coalesce(excluded.seo_title, b.seo_title),
        seo_description = coalesce(excluded.seo_description, b.seo_description),
        word_count = coalesce(excluded.word_count, b.word_count),
        image = coalesce(excluded.image, b.image),
        image_type = coalesce(excluded.image_type, b.image_type),
        image_alt = coalesce(excluded.image_alt, b.image_alt),
        image_prompt = coalesce(excluded.image_prompt, b.image_prompt),
        wix_media_id = coalesce(excluded.wix_media_id, b.wix_media_id),
        wix_draft_id = coalesce(excluded.wix_draft_id, b.wix_draft_id),
        wix_post_id = coalesce(excluded.wix_post_id, b.wix_post_id),
        url = coalesce(excluded.url, b.url),
        score = coalesce(excluded.score, b.score),
        updated_at = now(),
        published_at = coalesce(b.published_at, excluded.published_at);
    return true;
end
$$;
