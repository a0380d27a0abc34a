"""A site that is named on the command line and is not there: a slip must not read like an empty answer."""

from collections.abc import Iterable
from difflib import get_close_matches

from blogworker.db.pool import Database
from blogworker.errors import SettingsError
from blogworker.printable import typed

NAMED = 5


async def require_sites(database: Database, sites: Iterable[str]) -> None:
    """The same for each of them."""
    for site in sites:
        await require_site(database, site)


async def require_site(database: Database, site: str | None) -> None:
    """Raises SettingsError with the sites that may have been meant. None is every site."""
    if site is None:
        return
    found = await database.one("ops/site_known", instance_id=site)
    if not found["known"]:
        near = get_close_matches(site, found["others"], n=NAMED) or found["others"][:NAMED]
        told = ", ".join(map(typed, near)) + (" ..." if len(found["others"]) > len(near) else "")
        raise SettingsError(f"there is no site {typed(site)}; known are {told or 'none'}: see `blogworker sites list`")
