-- failover_read_only: let the server refuse writes, as a primary that was demoted does.
alter system set default_transaction_read_only = on;
