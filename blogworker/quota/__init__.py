"""The shared limiter: requests and tokens a minute, one row of `quotas` a bucket, for the whole fleet."""

from blogworker.quota.bucket import Bucket, Reservation, VendorLimits

__all__ = ["Bucket", "Reservation", "VendorLimits"]
