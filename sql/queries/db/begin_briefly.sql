-- begin_briefly: begin a short transaction that can be repeated, such as a claim. A lock wait of more than a tenth of a
-- second fails with 55P03.
--
-- SKIP LOCKED can still wait: if a transaction that has changed the row ends at that moment, Postgres waits for the
-- transaction that has the new version. A claim that has locked some sites and waits for another one can then deadlock
-- with a person's statement that has that site and waits for one of the claim's. This happened in one of fifteen runs
-- of test_lock_order.py. A tenth of the default deadlock_timeout makes the claim the one that gives up.
--
-- These transactions are short and use indexes. The connection keeps their plans. So a plan that was made for a small
-- table, or without statistics, must not scan the whole table later: sequential scans are off.
--
-- The commit does not wait until it is on disk. If Postgres crashes within the next tenths of a second, the claim is
-- forgotten, and the job is claimed again. The fence refuses what the first attempt writes, unless the same worker has
-- claimed the job again. Each paid call, draft and post follows a commit that waits for the disk, and stores the claim
-- too (hold_budget, save_effect).
select
    set_config('lock_timeout', '100ms', true) as lock_timeout,
    set_config('enable_seqscan', 'off', true) as enable_seqscan,
    set_config('enable_bitmapscan', 'off', true) as enable_bitmapscan,
    set_config('jit', 'off', true) as jit,
    set_config('synchronous_commit', 'off', true) as synchronous_commit;
