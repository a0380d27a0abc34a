-- create: add an endpoint.
-- Takes  name; url: null: the settings have it; events text[]; instance_ids text[]: null: all sites; format.
-- Gives  webhook_id; no row if the name is taken.
insert into webhooks (name, url, events, instance_ids, format)
values (%(name)s, %(url)s, %(events)s::text[], %(instance_ids)s::text[], %(format)s)
on conflict (name) do nothing
returning webhook_id;
