"""Wix: OAuth, blog, members, media, stores and the rich content converter, each a module.

Every instance id is a site of its own, installed, with a customer and its owner as members. Faults of its own: revoked
(401, and no more tokens), no_scope (an empty 403), blog_missing and stores_missing (428), import_failed, lost_in_query.
"""

from blogworker.simulator.wix.provider import Wix

__all__ = ["Wix"]
