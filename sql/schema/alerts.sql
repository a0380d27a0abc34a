-- Alerts: which conditions of blogworker/alerts/rules.py hold, since when, and when a message was last sent of each.

create table alerts (
    rule text not null check (length(rule) between 1 and 100),
    subject text not null default '' check (length(subject) <= 500), -- such as a provider; '': the fleet
    severity text not null check (severity in ('warning', 'critical')),
    value double precision not null,
    summary text not null check (length(summary) <= 2000),
    since timestamptz not null default now(), -- it holds
    held_at timestamptz not null default now(), -- the last time that it was found to hold
    fired_at timestamptz, -- null: it does not hold for long enough yet
    sent_at timestamptz, -- the last message

    primary key (rule, subject),
    constraint sent_since_it_fired check ((fired_at is null) = (sent_at is null))
);

-- One row: when the rules were last evaluated, and the number of that evaluation: a slow worker with an older number
-- writes nothing.
create table alert_evaluations (
    one boolean primary key default true check (one),
    evaluation bigint not null default 1,
    evaluated_at timestamptz not null default now()
);
