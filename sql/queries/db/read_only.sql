-- read_only: let the transaction under way write nothing, whatever it is asked to.
set transaction read only;
