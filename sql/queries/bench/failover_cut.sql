-- failover_cut: on a standby, stop streaming from the primary.
alter system set primary_conninfo = '';
