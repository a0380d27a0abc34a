-- chaos_answers: where every paid answer that is stored is written down, however often it is stored.
create table chaos_answers (job_id bigint, stage text, answer text, primary key (job_id, stage, answer));
