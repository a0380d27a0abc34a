-- claim_turn: claims that go by the quotas of the fleet take turns, so that each counts what those before it took. Run
-- before claim in the same transaction.
-- Gives  one row without meaning.
-- Locks  an advisory lock until the end of the transaction; it waits for it as long as wait_briefly allows.
select pg_advisory_xact_lock(hashtext('blogworker claim'))::text as taken;
