-- wait_briefly: from here to the end of the transaction no lock is waited for longer than a tenth of a second; what
-- would wait longer fails with 55P03.
--
-- Skip locked is not quite never: when the row it looks at was changed by a transaction that ends at that very moment,
-- Postgres waits for whoever holds the new version. A claim that holds some sites and waits for another, against a
-- statement of a person that holds it and waits for one of those, was a deadlock in one of fifteen storms
-- of test_lock_order.py. A tenth of the default deadlock_timeout makes the claim the one that yields.
--
-- These transactions are short and go by indexes. Their plans are kept by the connection, and a table that was small when
-- a plan was made, or for which statistics are missing, must not make it read all of it for each row later.
select
    set_config('lock_timeout', '100ms', true) as lock_timeout,
    set_config('enable_seqscan', 'off', true) as enable_seqscan,
    set_config('enable_bitmapscan', 'off', true) as enable_bitmapscan,
    set_config('jit', 'off', true) as jit;
