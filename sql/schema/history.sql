-- History: what became of the queue, minute by minute, for charts. Workers record each minute once, shortly after its end.

create table history (
    minute timestamptz primary key, -- its beginning
    done integer not null,
    failed integer not null,
    cancelled integer not null,
    pending integer, -- waiting jobs at its end, counted to 1,000,000; null: it was recorded later
    wait_p50_s real, -- of DONE jobs: from their run_at or creation, the later one, to the last claim; null: no job
    wait_p95_s real,
    total_p50_s real, -- of the same jobs: from their creation, or their run_at if it was later, to their end
    total_p95_s real
);

create table history_stages (
    minute timestamptz not null references history on delete cascade,
    stage text not null,
    jobs integer not null, -- that were DONE and have a checkpoint of the stage
    p50_s real not null,
    p95_s real not null,

    primary key (minute, stage)
);
