-- pause_stages: pause stages for all sites. A stage that is paused gets the new reason.
-- Takes  stages text[]; reason.
insert into stage_pauses as p (stage, reason)
select w.stage, %(reason)s
from unnest(%(stages)s::text[]) as w (stage)
order by w.stage
on conflict (stage) do update
set reason = excluded.reason;
