-- chaos_spend: the paid calls whose answer was stored.
-- Gives  one row: stored, the answers; recorded, the calls in the books.
select
    (select count(*) from chaos_answers) as stored,
    (select coalesce(sum(u.requests), 0)::bigint from provider_usage as u) as recorded;
