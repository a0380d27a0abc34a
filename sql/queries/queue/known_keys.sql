-- known_keys: which of these jobs were enqueued before, by their idempotency keys?
-- Takes  instance_ids text[]; idempotency_keys text[], same order.
-- Gives  place of each that was, counted from 1.
select k.place
from unnest(%(instance_ids)s::text[], %(idempotency_keys)s::text[])
    with ordinality as k (instance_id, idempotency_key, place)
where
    exists (
        select
        from blog_generations as g
        where g.instance_id = k.instance_id and g.idempotency_key = k.idempotency_key
    );
