-- job_origin: whether what a job has done may be lost, and how its work is recognised at the providers.
-- Takes  job_id; remembered: see note_restore.
-- Gives  one row: mark; found_at, since timestamptz, null: nothing of the job is lost; text_survived boolean: its text is
--        older than the loss; place: to be remembered; no row: there is no such job.
-- Locks  as note_restore.
select o.mark, o.found_at, o.since, o.text_survived, o.place from job_origin(%(job_id)s::bigint, %(remembered)s) as o;
