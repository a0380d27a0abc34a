"""Wix: OAuth, blog, members, media, stores and the rich content converter, a module for each.

Each instance id is a site on which the app is installed. Its members are a customer and the owner. The provider's own
faults: revoked (401, and no new tokens), no_scope (an empty 403), blog_missing and stores_missing (428), import_failed,
lost_in_query (a query finds no drafts).
"""

from blogworker.simulator.wix.provider import Wix

__all__ = ["Wix"]
