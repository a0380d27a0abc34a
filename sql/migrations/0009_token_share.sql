-- Shares by tokens, for fleets whose sites differ in what a blog takes: a site is charged what its blogs use.
--
-- A claim charges its site an estimate for each blog, and the end of the attempt bills the difference to what it used;
-- the claims that follow book the bills. Both in standard blogs, so that workers that share by jobs, where each blog
-- counts one, can serve the same line meanwhile.

-- Tokens of a blog that counts as one: the estimates of the two calls that make it.
create function standard_blog_tokens() returns double precision language sql immutable as 'select 6000.0::float8';

alter table sites
    add column turn_cost real not null default 1 -- what a blog of the site takes, in standard blogs: a moving average
        check (turn_cost between 0.1 and 100); -- so that one odd blog neither starves its site nor frees it

alter table blog_generations add column charged real; -- to the site for this attempt; null: not by tokens

-- What ended attempts used beyond their charge (less: negative). Settles only append, as producers do to site_arrivals;
-- reconcile_sites.sql empties it.
create table site_bills (
    id bigint generated always as identity primary key,
    instance_id text not null,
    correction real not null, -- of the virtual time, before it is divided by the weight
    blog_cost real -- what a blog that is DONE took in all its attempts; null: it is not, nothing is learned
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Sites that run fewer jobs than before. Whether they may run more is counted by whoever admits them: a claim that is
-- under way may be about to find one at its cap, by a count that still has the jobs ended here. Replaces one that
-- counted here, with the sites locked: a settle held jobs and sites, and so could be part of a deadlock over both.
create or replace function reopen_capped_sites(relieved text[]) returns void language plpgsql volatile as $$
begin
    if relieved is null then
        return;
    end if;
    insert into site_arrivals (instance_id, notified)
    select s.instance_id, true from sites as s where s.instance_id = any (relieved) and s.max_in_flight is not null;
    if found then
        perform wake_workers();
    end if;
end
$$;
