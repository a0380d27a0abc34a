-- no_statement_timeout: for the rest of the transaction under way. A role's own may be shorter than what begins a
-- session takes; behind a pooler the server session is not ours to change for longer.
set local statement_timeout = 0;
