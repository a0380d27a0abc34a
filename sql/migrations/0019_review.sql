-- Posts are judged: each has a score, the ledger has their sums, and of every so many posts of a site one stays a draft.

-- The one of n -----------------------------------------------------------------------------------------------------

-- How many posts of a site went past since the last one that was held for review.
create table site_reviews (
    instance_id text primary key references sites on delete cascade,
    passed integer not null check (passed between 0 and 1000)
) with (fillfactor = 70);

-- Whether the job's post is held for review: the last of `every` consecutive posts of its site. The answer is stored as
-- its checkpoint `publish.review`, in the same transaction as the count, so that no retry is counted again.
-- Gives    null when the claim is no longer the caller's.
-- Locks    the job, then the site's count, so that workers draw one by one. Volatile: it sees what those before it wrote.
create function draw_review(job bigint, job_attempt integer, worker uuid, every integer)
returns boolean language plpgsql volatile security definer as $$
declare
    site text;
    held boolean;
begin
    select g.instance_id into site
    from blog_generations as g
    where g.id = job and g.attempt = job_attempt and g.worker_id = worker and g.status = 'PROCESSING'
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

-- As 0002 has it; `review_every` is not told to the writer either.
create or replace function made_of(source_type text, source_id text, source_data jsonb, settings jsonb)
returns bigint language sql immutable as $$
    select jsonb_hash_extended(
        jsonb_build_array(
            source_type, source_id, source_data,
            jsonb_strip_nulls(settings - array['member_id', 'publish_mode', 'image_trouble', 'review_every'])
        ),
        0
    )
$$;

-- The scores in the ledger -------------------------------------------------------------------------------------------

-- As 0008 has it, and the scores with the dollars.
create or replace function provider_usage_summed() returns trigger language plpgsql as $$
declare
    usd numeric := new.cost_usd - case when tg_op = 'UPDATE' then old.cost_usd else 0 end;
    written bigint := new.posts - case when tg_op = 'UPDATE' then old.posts else 0 end;
    scored bigint := new.score_sum - case when tg_op = 'UPDATE' then old.score_sum else 0 end;
begin
    if usd <> 0 or written <> 0 or scored <> 0 then
        insert into site_spend as s (instance_id, day, cost_usd, posts, score_sum)
        values (new.instance_id, utc_day(new.hour), usd, written, scored)
        on conflict (instance_id, day) do update
        set
            cost_usd = least(99999999, greatest(-99999999, s.cost_usd + excluded.cost_usd)),
            posts = s.posts + excluded.posts,
            score_sum = s.score_sum + excluded.score_sum;
        insert into fleet_spend as f (day, shard, cost_usd, posts, score_sum)
        values (utc_day(new.hour), abs(hashtext(new.instance_id) % 16), usd, written, scored)
        on conflict (day, shard) do update
        set
            cost_usd = least(99999999, greatest(-99999999, f.cost_usd + excluded.cost_usd)),
            posts = f.posts + excluded.posts,
            score_sum = f.score_sum + excluded.score_sum;
    end if;
    return null;
end
$$;

-- The names of all our functions, and this one.
do $do$
begin
    execute format(
        'create or replace function own_functions() returns text[] language sql immutable as $$ select %L::text[] $$',
        (select array_agg(n.name order by n.name) from unnest(array_append(own_functions(), 'draw_review')) as n (name))
    );
end
$do$;

-- Last, because everybody waits from here until this migration is committed. The columns have no value in old rows, so
-- the checks are not made on them: that would read the whole table.
alter table fleet_spend
    add column posts bigint not null default 0,
    add column score_sum bigint not null default 0,
    add constraint scores_can_be_added_to check (
        abs(posts) <= 1000000000000000 and abs(score_sum) <= 100000000000000000
    ) not valid;

alter table site_spend
    add column posts bigint not null default 0,
    add column score_sum bigint not null default 0,
    add constraint scores_can_be_added_to check (
        abs(posts) <= 1000000000000000 and abs(score_sum) <= 100000000000000000
    ) not valid;

alter table provider_usage
    add column posts bigint not null default 0, -- that the model wrote and that were scored
    add column score_sum bigint not null default 0, -- of their scores
    add constraint scores_can_be_added_to check (
        posts between 0 and 1000000000000 and score_sum between 0 and 100 * posts
    ) not valid;

create or replace view spending as
select
    s.*,
    p.posts as posts_month, -- that were written and scored in this month
    p.score as score_month -- on average; null: there are none
from spending_at(now()) as s
cross join lateral (
    select coalesce(sum(f.posts), 0)::bigint as posts, round(sum(f.score_sum) / nullif(sum(f.posts), 0), 1) as score
    from fleet_spend as f
    where f.day between date_trunc('month', utc_day(now()))::date and utc_day(now())
) as p;

alter table blog_posts
    add column score smallint, -- null: it was made before posts were scored
    add constraint score_is_from_0_to_100 check (score between 0 and 100) not valid;
