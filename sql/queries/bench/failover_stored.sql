-- failover_stored: how many paid calls the checkpoints know.
-- Gives  one row: calls.
select coalesce(sum(s.requests), 0)::integer as calls from generation_stages as s;
