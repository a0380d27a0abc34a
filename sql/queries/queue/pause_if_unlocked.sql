-- pause_if_unlocked: pause_site, but it does not wait for a site that another transaction has locked.
-- Takes  instance_id; reason.
-- Gives  one row: paused boolean: the site was not paused, or only until resume_at, and is paused now; locked boolean:
--        another transaction has locked the site, so nothing was done.
with known as (
    select s.instance_id
    from sites as s
    where s.instance_id = %(instance_id)s and (s.paused_at is null or s.resume_at is not null)
),

free as (
    select s.instance_id
    from sites as s
    where s.instance_id = %(instance_id)s and (s.paused_at is null or s.resume_at is not null)
    for no key update skip locked
),

paused as (
    update sites as s
    set paused_at = now(), pause_reason = %(reason)s, resume_at = null
    from free as f
    where s.instance_id = f.instance_id
    returning s.instance_id
)

select
    exists (select from paused) as paused,
    exists (select from known) and not exists (select from free) as locked;
