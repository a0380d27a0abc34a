-- no_statement_timeout: remove the timeout for the rest of the current transaction. A role's own timeout may be shorter
-- than the beginning of a session takes. Behind a pooler the server session must not be changed for longer.
set local statement_timeout = 0;
