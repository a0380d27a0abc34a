-- migrate: no transaction
-- What takes long in a big database: statements that lock no table against those who write, each a transaction of its
-- own or many. If one fails, all are repeated.

-- What was spent on the days before there were sums. First the sums of a day are locked, then counted anew: usage that is
-- not seen by the second statement is still to be added, by a trigger that waits for them.
do $$
declare
    each date;
    begins timestamptz;
begin
    for each in select distinct utc_day(u.hour) from provider_usage as u order by 1 loop
        begins := each::timestamp at time zone 'UTC';
        insert into site_spend (instance_id, day)
        select distinct u.instance_id, each
        from provider_usage as u
        where u.hour >= begins and u.hour < begins + interval '24 hours'
        on conflict do nothing;
        perform from site_spend as s where s.day = each order by s.instance_id for update;
        update site_spend as s
        set cost_usd = n.cost_usd
        from (
            select u.instance_id, sum(u.cost_usd) as cost_usd
            from provider_usage as u
            where u.hour >= begins and u.hour < begins + interval '24 hours'
            group by u.instance_id
        ) as n
        where s.day = each and s.instance_id = n.instance_id and s.cost_usd <> n.cost_usd;
        insert into fleet_spend (day, shard) select each, n from generate_series(0, 15) as n on conflict do nothing;
        perform from fleet_spend as f where f.day = each order by f.shard for update;
        update fleet_spend as f
        set cost_usd = n.cost_usd
        from (
            select abs(hashtext(s.instance_id) % 16) as shard, sum(s.cost_usd) as cost_usd
            from site_spend as s
            where s.day = each
            group by 1
        ) as n
        where f.day = each and f.shard = n.shard;
        commit;
    end loop;
end
$$;
-- migrate: next
-- The titles and slugs of what is published already count as its site's.
do $$
declare
    after bigint := 0;
    up_to bigint;
begin
    loop
        select max(b.generation_id) into up_to
        from (select p.generation_id from blog_posts as p where p.generation_id > after order by 1 limit 2000) as b;
        exit when up_to is null;
        insert into site_titles (instance_id, key, title, generation_id)
        select k.instance_id, title_key(k.title), k.title, k.generation_id
        from (
            select p.instance_id, p.title, p.generation_id
            from blog_posts as p
            where p.generation_id > after and p.generation_id <= up_to
            order by p.generation_id
            for key share -- a blog deleted meanwhile either is not met here, or waits and meets its title
        ) as k
        on conflict do nothing;
        insert into site_slugs (instance_id, slug, generation_id)
        select p.instance_id, p.slug, p.generation_id
        from blog_posts as p
        where p.generation_id > after and p.generation_id <= up_to and length(p.slug) between 1 and 200
        order by p.generation_id
        for key share
        on conflict do nothing; -- of several posts with one slug the first has it
        commit;
        after := up_to;
    end loop;
end
$$;
-- migrate: next
-- The line of what waits already. What another transaction has locked is left to promote.sql, as a rest that has ended.
do $$
declare
    after bigint := 0;
    up_to bigint;
begin
    loop
        select max(b.id) into up_to
        from (select g.id from blog_generations as g where g.id > after order by g.id limit 2000) as b;
        exit when up_to is null;
        update blog_generations as g
        set line = line_number(g.stage, g.rescues)
        where g.id = any (
            array(
                select w.id
                from blog_generations as w
                where
                    w.id > after and w.id <= up_to
                    and w.status = 'PENDING' and w.line is null and w.run_at <= now()
                for update skip locked
            )
        );
        commit;
        after := up_to;
    end loop;
end
$$;
-- migrate: next
alter table blog_generations validate constraint publish_mode_is_known;
-- migrate: next
drop index concurrently if exists blog_generations_line_idx;
-- migrate: next
-- claim.sql, and every count of what waits
create index concurrently blog_generations_line_idx on blog_generations (instance_id, line desc, priority desc, id)
    where status = 'PENDING';
-- migrate: next
drop index concurrently if exists blog_generations_pending_idx;
-- migrate: next
alter index blog_generations_line_idx rename to blog_generations_pending_idx;
-- migrate: next
drop index concurrently if exists blog_generations_part_done_idx;
-- migrate: next
-- claim.sql: the sites that have jobs which are part done
create index concurrently blog_generations_part_done_idx on blog_generations (instance_id, line)
    where status = 'PENDING' and line > 0;
-- migrate: next
drop index concurrently if exists blog_generations_unmade_idx;
-- migrate: next
-- stage_rooms: what is part done and not made yet
create index concurrently blog_generations_unmade_idx on blog_generations (line)
    where status = 'PENDING' and line between 1 and 3;
-- migrate: next
drop index concurrently if exists blog_generations_resting_idx;
-- migrate: next
-- promote.sql
create index concurrently blog_generations_resting_idx on blog_generations (run_at)
    where status = 'PENDING' and line is null;
-- migrate: next
drop index concurrently if exists blog_generations_suspects_idx;
-- migrate: next
-- claim_suspect.sql
create index concurrently blog_generations_suspects_idx on blog_generations (run_at)
    where status = 'PENDING' and line = -1;
