-- spend: store the tokens of calls of running attempts, each as a checkpoint.
-- Takes  job_ids bigint[], attempts int[], stages text[], tokens int[] (same order).
insert into generation_stages (generation_id, attempt, stage, output, tokens_out)
select s.job_id, s.attempt, s.stage, '{}', s.tokens
from unnest(%(job_ids)s::bigint[], %(attempts)s::integer[], %(stages)s::text[], %(tokens)s::integer[])
    as s (job_id, attempt, stage, tokens);
