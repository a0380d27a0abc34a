-- begin: take this minute's evaluation of the alert rules, unless another worker has taken it.
-- Takes  every_s.
-- Gives  evaluation: its number; no row if the rules were evaluated less than every_s ago, or another transaction has the row
--        locked.
with taken as (
    update alert_evaluations as e
    set evaluation = e.evaluation + 1, evaluated_at = now()
    where
        e.one in (
            select l.one
            from alert_evaluations as l
            where l.evaluated_at <= now() - make_interval(secs => %(every_s)s::double precision)
            for no key update skip locked
        )
    returning e.evaluation
),

first as (
    insert into alert_evaluations (one)
    select true where not exists (select from alert_evaluations)
    on conflict do nothing
    returning evaluation
)

select t.evaluation from taken as t
union all
select f.evaluation from first as f;
