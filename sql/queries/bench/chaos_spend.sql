-- chaos_spend: paid calls, by the stored answers and by the ledger.
-- Gives  one row: stored: answers; recorded: calls in the ledger.
select
    (select count(*) from chaos_answers) as stored,
    (select coalesce(sum(u.requests), 0)::bigint from provider_usage as u) as recorded;
