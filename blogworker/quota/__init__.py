"""The shared rate limiter and the circuit breakers of the providers.

A *quota* is a limit of requests and tokens per minute: one row of `quotas`, shared by all workers. A *bucket* is the
state of that quota (two GCRA clocks); `BucketClient` is one process's access to it. A *breaker* is a circuit breaker:
one row of `provider_health` per provider account.
"""

from blogworker.quota.bucket import Bucket, ProviderLimits, Reservation

__all__ = ["Bucket", "ProviderLimits", "Reservation"]
