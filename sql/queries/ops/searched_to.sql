-- searched_to: how far a search of list_jobs has read, if it has not read all jobs.
-- Takes  status, instance_id, before, within_s, older_than_s, scan: as list_jobs.
-- Gives  one row: id: of the oldest job that the search has read, null: it has read all.
select case when count(*) = %(scan)s::bigint then min(s.id) end as id
from (
    select g.id
    from blog_generations as g
    where
        (%(status)s::text is null or g.status = %(status)s)
        and (%(instance_id)s::text is null or g.instance_id = %(instance_id)s)
        and (%(before)s::bigint is null or g.id < %(before)s)
        and (
            %(within_s)s::double precision is null
            or g.created_at > now() - make_interval(secs => %(within_s)s::double precision)
        )
        and (
            %(older_than_s)s::double precision is null
            or g.created_at < now() - make_interval(secs => %(older_than_s)s::double precision)
        )
    order by g.id desc
    limit %(scan)s::bigint
) as s;
