-- require_room: raise BW503 unless so many more blogs fit into the queue, and into each site's share of it.
-- Takes  queue_size_limit int, null: the database's; instance_ids text[] and counts bigint[], same order.
select require_room(%(queue_size_limit)s::integer, %(instance_ids)s::text[], %(counts)s::bigint[]);
