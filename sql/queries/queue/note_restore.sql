-- note_restore: note that the database has lost history, if it has. Any worker may do this at any time.
-- Takes  remembered: the place that an earlier call has given to this process, null: none.
-- Gives  one row: place; found_at, since, reason: the latest restore, null: there was none; noted boolean: it was
--        noted now.
-- Locks  the row of database_history, unless another transaction has locked it.
select n.place, n.found_at, n.since, n.reason, n.noted from note_restore(%(remembered)s) as n;
