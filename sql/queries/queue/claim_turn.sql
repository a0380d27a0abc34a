-- claim_turn: serialise claims that depend on the fleet's quotas, so that each claim counts the jobs of those before
-- it. Run before claim in the same transaction.
-- Gives  one row without meaning.
-- Locks  an advisory lock until the end of the transaction. It waits for the lock as long as wait_briefly allows.
select pg_advisory_xact_lock(hashtext('blogworker claim'))::text as taken;
