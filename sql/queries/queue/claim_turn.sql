-- claim_turn: serialise claims that depend on the fleet's quotas, so that each claim counts the jobs of those before
-- it. Run before claim in the same transaction.
-- Gives  one row without meaning.
-- Locks  a row of turns until the end of the transaction. It waits for the lock as long as begin_briefly allows.
select t.name from turns as t where t.name = 'claims' for no key update;
