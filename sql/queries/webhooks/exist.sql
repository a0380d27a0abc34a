-- exist: whether there is anything to send to, or to clean up.
-- Gives  one row: found boolean.
select
    exists (select from webhooks as w where w.disabled_at is null)
    or exists (select from webhook_deliveries) as found;
