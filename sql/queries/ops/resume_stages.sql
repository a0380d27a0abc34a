-- resume_stages: end the pauses of stages.
-- Takes  stages text[].
-- Gives  rows: stage of each that was paused.
delete from stage_pauses as p
where p.stage = any (%(stages)s::text[])
returning p.stage;
