-- failover_writable: undo failover_read_only.
alter system reset default_transaction_read_only;
