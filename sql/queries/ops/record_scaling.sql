-- record_scaling: remember what autoscale decided on this host, and forget what is older than a day.
-- Takes  host; workers, wanted, target.
with old as (
    delete from scalings as s where s.host = %(host)s and s.at < now() - interval '1 day'
)

insert into scalings (host, workers, wanted, target)
values (%(host)s, %(workers)s::integer, %(wanted)s::integer, %(target)s::integer);
