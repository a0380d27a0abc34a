"""OpenAI, Replicate and Wix over real TCP, for demo, tests and benches; production code does not know of it.

One server, one port, three vendors and a control room:

    /openai/v1    responses, chat/completions        request and token buckets, real articles for a schema
    /replicate    v1/predictions, v1/models, files   predictions that age by the clock, pictures that expire
    /wix          oauth2, blog, members, media,      a blog for each instance id, strict as the vendor is
                  stores, ricos
    /__sim        stats, faults, options, requests, wix/posts

`edge` carries every call: it meets quota, faults and handler in a fixed order and is recorded in the `ledger`, which
counts usage and duplicates without knowing the quotas. All chance comes from one seed.
"""

from blogworker.simulator.app import create_app
from blogworker.simulator.options import SimulatorOptions
from blogworker.simulator.server import running_simulator, serve

__all__ = ["SimulatorOptions", "create_app", "running_simulator", "serve"]
