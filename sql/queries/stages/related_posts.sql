-- related_posts: find posts of a site about a similar subject, the most similar first.
-- Takes  instance_id; job_id, whose own post is excluded; terms text[], each once, of the subject; counts int[] (same
--        order): how often each occurs; language of the posts, null: any; depth int: how many of the newest posts with
--        a term are compared; least_share: from 0 to 1; posts int: at most this many rows.
-- Gives  title, angle, url (null: not published), share: the part of the terms that the post has. A term weighs more
--        with a higher count, and if fewer posts of the site have it. Posts whose job is FAILED or CANCELLED, or was
--        deleted before publication, are excluded.
-- Plan   site_terms_pkey, from the newest post of each term: at most terms x depth entries, for any size of site.
--        37 ms under explain analyze, on two busy cores, among 100,000 posts of a site that all have the six terms.
--        pg_trgm is not used: not every server has it, and common words make most titles of a site slightly similar.
with asked as (
    select a.term, a.count from unnest(%(terms)s::text[], %(counts)s::integer[]) as a (term, count)
),

hits as materialized (
    select a.term, t.generation_id
    from asked as a
    cross join lateral (
        select t.generation_id
        from site_terms as t
        where t.instance_id = %(instance_id)s and t.term = a.term and t.generation_id <> %(job_id)s::bigint
        order by t.generation_id desc
        limit %(depth)s::integer
    ) as t
),

-- Counts ten more posts without the terms, so that on a small site the common subject keeps some weight.
size as (
    select count(*)::double precision as posts
    from (
        select from site_posts as p where p.instance_id = %(instance_id)s order by p.generation_id desc limit 1000
    ) as p
),

weights as materialized (
    select a.term, a.count * ln(1 + (s.posts + 10) / greatest(1, count(h.generation_id))) as weight
    from asked as a
    cross join size as s
    left join hits as h on h.term = a.term
    group by a.term, a.count, s.posts
),

nearest as (
    select
        h.generation_id,
        sum(w.weight) / (select nullif(sum(v.weight), 0) from weights as v) as share
    from hits as h
    join weights as w on w.term = h.term
    group by h.generation_id
    order by share desc, h.generation_id desc
    limit 50
)

select p.title, p.angle, p.url, n.share
from nearest as n
join site_posts as p on p.instance_id = %(instance_id)s and p.generation_id = n.generation_id
left join blog_generations as g on g.id = p.generation_id and g.instance_id = p.instance_id
where
    n.share >= %(least_share)s::double precision
    and (p.url is not null or g.status not in ('FAILED', 'CANCELLED'))
    and (p.language is null or %(language)s::text is null or p.language = %(language)s::text)
order by n.share desc, n.generation_id desc
limit %(posts)s::integer;
