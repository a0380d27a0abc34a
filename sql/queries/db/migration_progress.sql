-- migration_progress: how far the statement of another session is.
-- Takes  pid int: of the session.
-- Gives  one row: progress; no row: it builds no index, and waits for no lock.
select p.progress
from (
    select
        concat(
            'index ', c.index_relid::regclass, ': ', c.phase, ', ',
            round(
                100.0
                * case when c.tuples_total > 0 then c.tuples_done else c.blocks_done end
                / nullif(case when c.tuples_total > 0 then c.tuples_total else c.blocks_total end, 0)
            ),
            ' percent'
        ) as progress
    from pg_stat_progress_create_index as c
    where c.pid = %(pid)s::integer
    union all
    select concat('waits for sessions ', array_to_string(pg_blocking_pids(a.pid), ', '))
    from pg_stat_activity as a
    where a.pid = %(pid)s::integer and a.wait_event_type = 'Lock'
) as p
limit 1;
