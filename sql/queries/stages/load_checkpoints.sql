-- load_checkpoints: load what earlier attempts at these jobs have stored.
-- Takes  job_ids bigint[].
-- Gives  job_id, stage, output.
select s.generation_id as job_id, s.stage, s.output
from generation_stages as s
where s.generation_id = any (%(job_ids)s::bigint[]);
