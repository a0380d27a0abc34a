-- require_room: raise BW503 unless the queue, and each site's share of it, has room for so many more jobs.
-- Takes  queue_size_limit int, null: the database's; instance_ids text[] and counts bigint[], same order.
select require_room(%(queue_size_limit)s::integer, %(instance_ids)s::text[], %(counts)s::bigint[]);
