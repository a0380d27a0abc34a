"""A simulator of OpenAI, Replicate and Wix over real TCP, for the demo, tests and benchmarks. No worker imports it.

One server on one port serves the three providers and a control API:

    /openai/v1    responses, chat/completions        request and token buckets, complete articles for a schema
    /replicate    v1/predictions, v1/models, files   predictions that advance with the clock, files that expire
    /wix          oauth2, blog, members, media,      one blog per instance id, validated as strictly as by Wix
                  stores, ricos
    /__sim        stats, faults, options, requests, wix/posts

Every call passes through `edge`: quota, faults and handler, always in this order. The `ledger` records the call, and
counts usage and duplicates without knowing the quotas. All random numbers come from one seed.
"""

from blogworker.simulator.app import create_app
from blogworker.simulator.options import SimulatorOptions
from blogworker.simulator.server import running_simulator, serve

__all__ = ["SimulatorOptions", "create_app", "running_simulator", "serve"]
