-- The queue waits for no site that somebody holds, and takes jobs of any priority.

-- Sites that got PENDING jobs; replaces one that waited for a site's row. Whoever held one (a person at psql, in a
-- transaction left open) held up every promote, and every worker with an outcome to store for that site. Now a site that
-- cannot be locked at once is announced whether it is ready or not, and whoever admits it looks again.
--
-- Each step goes through the sites once, by their key, however many one statement brings: a session keeps its plans, and
-- one that was made while there were few sites would read all of them for each blog of a long transaction.
create or replace function announce_sites(arrived text[]) returns void language plpgsql volatile
set enable_seqscan = off as $$
declare
    called boolean;
    kept text[]; -- not to be retired before these jobs are committed
begin
    if arrived is null then
        return;
    end if;
    select array_agg(l.instance_id) into kept
    from (
        select s.instance_id
        from sites as s
        where s.instance_id = any (arrived)
        order by s.instance_id
        for key share skip locked
    ) as l;
    called := not exists (
        select from site_arrivals as a where a.notified and a.announced_at > clock_timestamp() - interval '50 milliseconds'
    );
    insert into site_arrivals (instance_id, notified)
    select s.instance_id, called
    from sites as s
    where s.instance_id = any (arrived) and (not s.ready or s.instance_id not in (select unnest(kept))); -- hashed
    if found and called then
        perform wake_workers();
    end if;
end
$$;
