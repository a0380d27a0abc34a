-- observe: store which conditions hold, and find out which alerts begin, are to be repeated, and are resolved.
-- Takes  evaluation: nothing is stored if a later one has begun; holding jsonb: array of rule, subject, severity, value,
--        summary, for_s: what holds now, each once; remind_s: repeat a message after this time; clear_s: what holds no more
--        is resolved after this time, so that one that comes and goes sends no message each time; gap_s: if the rules were
--        not evaluated for so long, a condition that has not fired starts again.
-- Gives  rows: change (firing, reminder, resolved), rule, subject, severity, value, summary, since.
-- Locks  the evaluation, so that one transaction at a time stores; the alerts.
with mine as materialized (
    select e.one from alert_evaluations as e where e.evaluation = %(evaluation)s::bigint for no key update
),

holding as materialized (
    select h.*
    from mine
    cross join jsonb_to_recordset(%(holding)s::jsonb) as h (
        rule text, subject text, severity text, value double precision, summary text, for_s double precision
    )
),

-- What fires at once, or has held for long enough. `since` as it will be stored.
judged as materialized (
    select
        h.*,
        b.since,
        coalesce(
            a.fired_at, case when now() - b.since >= make_interval(secs => h.for_s) then now() end
        ) as fired_at,
        a.sent_at as last_sent_at
    from holding as h
    left join alerts as a using (rule, subject)
    cross join lateral (
        select
            case
                when
                    a.fired_at is not null
                    or a.held_at > now() - make_interval(secs => %(gap_s)s::double precision)
                    then a.since
                else now()
            end as since
    ) as b
),

stored as (
    insert into alerts as a (rule, subject, severity, value, summary, since, held_at, fired_at, sent_at)
    select
        j.rule,
        j.subject,
        j.severity,
        j.value,
        j.summary,
        j.since,
        now(),
        j.fired_at,
        case
            when j.last_sent_at > now() - make_interval(secs => %(remind_s)s::double precision) then j.last_sent_at
            when j.fired_at is not null then now()
        end
    from judged as j
    on conflict (rule, subject) do update
        set
            severity = excluded.severity,
            value = excluded.value,
            summary = excluded.summary,
            since = excluded.since,
            held_at = excluded.held_at,
            fired_at = excluded.fired_at,
            sent_at = excluded.sent_at
    returning
        case
            when a.fired_at = now() then 'firing'
            when a.sent_at = now() then 'reminder'
        end as change,
        a.rule,
        a.subject,
        a.severity,
        a.value,
        a.summary,
        a.since
),

ended as (
    delete from alerts as a
    using mine
    where
        not exists (select from holding as h where h.rule = a.rule and h.subject = a.subject)
        and (a.fired_at is null or a.held_at <= now() - make_interval(secs => %(clear_s)s::double precision))
    returning
        case when a.fired_at is not null then 'resolved' end as change,
        a.rule,
        a.subject,
        a.severity,
        a.value,
        a.summary,
        a.since
)

select c.change, c.rule, c.subject, c.severity, c.value, c.summary, c.since
from (
    select s.change, s.rule, s.subject, s.severity, s.value, s.summary, s.since from stored as s
    union all
    select e.change, e.rule, e.subject, e.severity, e.value, e.summary, e.since from ended as e
) as c
where c.change is not null
order by c.change, c.severity, c.rule, c.subject;
