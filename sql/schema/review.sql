-- Review: one of so many posts of a site stays a draft, for a person to read.

-- How many posts of a site passed since the last one that was held for review.
create table site_reviews (
    instance_id text primary key references sites on delete cascade,
    passed integer not null check (passed between 0 and 1000)
) with (fillfactor = 70);

-- Decides whether the post of a job is held for review: the last of `every` consecutive posts of its site. The answer
-- is stored as its checkpoint `publish.review`, in the same transaction as the count, so that no retry is counted
-- again.
-- Takes  the fence of the attempt; every.
-- Gives  null if the claim is lost.
-- Locks  the job, then the count of the site, so that workers draw one by one. Volatile: it sees what those before it
--        wrote.
create function draw_review(job bigint, job_attempt integer, worker uuid, every integer)
returns boolean language plpgsql volatile as $$
declare
    site text;
    held boolean;
begin
    select g.instance_id into site
    from blog_generations as g
    where is_attempt(g, job, job_attempt, worker)
    for no key update;
    if not found then
        return null;
    end if;
    select (s.output -> 'held')::boolean into held
    from generation_stages as s
    where s.generation_id = job and s.stage = 'publish.review' and jsonb_typeof(s.output -> 'held') = 'boolean';
    if found then
        return held;
    end if;
    insert into site_reviews as r (instance_id, passed)
    values (site, case when every <= 1 then 0 else 1 end)
    on conflict (instance_id) do update
    set passed = case when r.passed + 1 >= every then 0 else r.passed + 1 end
    returning r.passed = 0 into held;
    insert into generation_stages as s (generation_id, stage, output, attempt)
    values (job, 'publish.review', jsonb_build_object('held', held, 'every', every), job_attempt)
    on conflict (generation_id, stage) do update
    set output = excluded.output, attempt = excluded.attempt;
    return held;
end
$$;

-- What the checks found in the posts that are stored, by defect: in how many posts it was repaired, and in how many it
-- was returned to the model; when a post last had it.
create view post_defects as
select
    d.defect,
    count(*) filter (where d.became = 'repaired') as repaired,
    count(*) filter (where d.became = 'returned') as returned,
    max(s.created_at) as last_at
from generation_stages as s
cross join lateral (
    select b.became, n.defect
    from (values ('repaired'), ('returned')) as b (became)
    cross join lateral (
        select distinct e.defect
        from jsonb_array_elements_text(
            case when jsonb_typeof(s.output -> b.became) = 'array' then s.output -> b.became else '[]' end
        ) as e (defect)
    ) as n
) as d
where s.stage = 'content'
group by d.defect;
