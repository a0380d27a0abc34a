-- stage_pauses: the stages that a person has paused, in the order of the stages.
-- Gives  rows: stage, reason, paused_at.
select p.stage, p.reason, p.paused_at
from stage_pauses as p
order by stage_number(p.stage);
