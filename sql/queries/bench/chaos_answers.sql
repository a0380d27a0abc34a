-- chaos_answers: create the table of all paid answers that were ever stored, each once.
create table chaos_answers (job_id bigint, stage text, answer text, primary key (job_id, stage, answer));
