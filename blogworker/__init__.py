"""blogworker: rows of a Postgres table become published, illustrated blog posts.

`blogworker/README.md` is the map of the code: its rooms and floors, and a walk through them.

Glossary
--------
job         One row of the queue (`blog_generations`): one post to make for one site.
site        A customer's Wix site. Its key is `instance_id`.
stage       One step of a job. In order: source, ideas, content, image, publish.
checkpoint  The stored result of a finished stage, or of a paid call within one. A later attempt continues from it, so
            nothing is paid for twice.
worker      One daemon process. Each of its *slots* runs one job at a time. The *fleet* is all workers of a database.
lease       A worker's right to its jobs: a row of `workers` that the worker extends while it lives. When the lease
            ends, other workers may *rescue* the jobs.
incarnation A worker between two registrations: one `worker_id`, one lease.
claim       Taking jobs from the queue. A claim is also the result: one *attempt* at one job by one worker.
attempt     One run of a job. Its number is the fencing token: a write with an older number changes nothing.
settle      Store the outcome of an attempt: done, retried, waiting, failed, released or cancelled.
release     Requeue a job without using an attempt.
line        Jobs that may be claimed, and the sites that have such jobs, in the order of service. A job is out of line
            while it rests.
turn        A job's place in the line: the virtual time of its site. The lowest turn goes first, also in a quota's line.
window      The largest number of jobs that one claim takes from one site.
quota       A limit of requests and tokens per minute, shared by the fleet: a row of `quotas`.
bucket      The state of a quota: two GCRA clocks. Callers *reserve* quota before a call and *reconcile* it with the
            real usage after the call.
breaker     The circuit breaker of a provider account: closed, open or half-open, shared by the fleet.
probe       The one test call that an open breaker allows.
budget      A limit of cost per day or month. A job *holds* part of it before it pays for a call.
suspect     A job that may have killed its worker. It runs alone in a separate process.
drain       Shut down gracefully: stop claiming, finish the running jobs, release the rest.
keeper      A background task of a worker, such as extending its lease. Keepers outlive the jobs.
"""

__version__ = "0.1.0"
