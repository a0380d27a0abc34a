-- list: the conditions that hold, those that fire first.
-- Gives  rows: rule, subject, severity, value, summary, since, held_at, fired_at, sent_at; evaluated_at: when the rules were
--        evaluated last.
select
    a.rule,
    a.subject,
    a.severity,
    a.value,
    a.summary,
    a.since,
    a.held_at,
    a.fired_at,
    a.sent_at,
    e.evaluated_at
from alerts as a
cross join alert_evaluations as e
order by a.fired_at is null, a.severity, a.since, a.rule, a.subject;
