-- failover_synchronous: let commits wait for any standby.
alter system set synchronous_standby_names = '*';
