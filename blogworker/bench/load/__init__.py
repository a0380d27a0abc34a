"""Real workers under load, with the limits of the seed. The clock of the providers runs faster.

    cluster   a new database with a history of all jobs, a new simulator, and the workers
    history   the times of each job, and samples of the slots
    shares    how evenly the sites were served, per minute
    cpu       CPU time of processes

Times in this package are real seconds. The benches multiply them by the speed to get seconds of the providers' clock.
"""

from blogworker.bench.load.cluster import Cluster, Scale, running_cluster
from blogworker.bench.load.history import JobTimes, Sample, SlotSampler, job_times, longest_wait_s

__all__ = [
    "Cluster",
    "JobTimes",
    "Sample",
    "Scale",
    "SlotSampler",
    "job_times",
    "longest_wait_s",
    "running_cluster",
]
