-- known_keys: which of these jobs were enqueued before, by their idempotency keys?
-- Takes  instance_ids text[]; idempotency_keys text[], same order.
-- Gives  place of each that was, counted from 1; id: of the job that has the key.
select k.place, g.id
from unnest(%(instance_ids)s::text[], %(idempotency_keys)s::text[])
    with ordinality as k (instance_id, idempotency_key, place)
cross join lateral (
    select o.id
    from blog_generations as o
    where o.instance_id = k.instance_id and o.idempotency_key = k.idempotency_key
) as g;
