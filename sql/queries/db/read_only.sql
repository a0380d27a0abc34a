-- read_only: make the current transaction read-only.
set transaction read only;
