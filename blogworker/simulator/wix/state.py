"""The sites of Wix, and the state that the modules of this package share."""

from collections import Counter, OrderedDict
from random import Random

from blogworker.simulator.edge import Call
from blogworker.simulator.wix.sites import Draft, Site, new_site
from blogworker.simulator.world import World


class WixState:
    """The sites by instance id. Every id is an installed site, unless `require_wix_sites` is set."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.random: Random = world.random("wix")
        self.sites: dict[str, Site] = {}
        self.drafts_created: Counter[tuple[str, str]] = Counter()  # by site and title
        self.posts_published: Counter[tuple[str, str]] = Counter()  # first publications only
        self._pictures: OrderedDict[str, tuple[str, bytes]] = OrderedDict()  # file id -> media type, bytes
        self._with_content: OrderedDict[str, Draft] = OrderedDict()

    def installed(self, instance_id: str) -> bool:
        options = self.world.options
        return not options.require_wix_sites or instance_id in options.wix_sites

    def site(self, call: Call) -> Site:
        """The site of a call."""
        return self.site_of(call.site)

    def site_of(self, instance_id: str) -> Site:
        """The site of an instance id. It is created at the first call."""
        site = self.sites.get(instance_id)
        if site is None:
            clock = self.world.clock
            site = self.sites[instance_id] = new_site(instance_id, created_at=clock.iso(clock.now()))
        return site

    def keep_picture(self, file_id: str, media_type: str, data: bytes) -> None:
        self._pictures[file_id] = (media_type, data)
        while len(self._pictures) > self.world.options.kept_pictures:
            self._pictures.popitem(last=False)

    def picture(self, file_id: str) -> tuple[str, bytes] | None:
        return self._pictures.get(file_id)

    def keep_content(self, draft: Draft) -> None:
        """Keep the rich content of the latest posts only, because it is large."""
        self._with_content[draft.id] = draft
        self._with_content.move_to_end(draft.id)
        while len(self._with_content) > self.world.options.kept_posts:
            _, oldest = self._with_content.popitem(last=False)
            oldest.content = None
            if oldest.published is not None:
                oldest.published = type(oldest.published)(oldest.published.fields, None, oldest.published.slug)
