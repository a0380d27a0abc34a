-- add_restore: note by hand that history was lost.
-- Takes  since timestamptz: from then on, history may be lost; reason.
-- Gives  one row: found_at, since, reason.
insert into restores (since, reason)
values (%(since)s::timestamptz, %(reason)s)
returning found_at, since, reason;
