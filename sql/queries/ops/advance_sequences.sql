-- advance_sequences: advance each sequence beyond the ids in its table.
-- Gives  sequence, last_before (0: none), last_id: a row per sequence that was behind.
select a.sequence, a.last_before, a.last_id from advance_sequences() as a;
