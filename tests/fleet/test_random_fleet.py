"""Any three minutes of a fleet keep its promises: sites, weights, quotas, pauses, blocks and outages as they come.

What the unit tests show of one claim and one round is shown here of all of them together, on the real statements and by
the real workers, in virtual time. Hypothesis makes up the stories.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from statistics import median

import pytest
import structlog
from hypothesis import HealthCheck, Phase, given, settings

from blogworker.queue.job import Stage

from .fleet import Fleet
from .promises import PROMISES
from .story import STORIES, Limits, Site, Story, Trouble
from .virtual import VirtualDatabase


@pytest.fixture(scope="module")
def database(module_url: str) -> Iterator[VirtualDatabase]:
    database = VirtualDatabase(module_url)
    yield database
    database.connection.close()


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    """Thousands of lines of no use."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    yield
    structlog.reset_defaults()


def keeps_its_promises(database: VirtualDatabase, story: Story) -> tuple[Fleet, Counter[str]]:
    """Gives how much each promise was about."""
    fleet = Fleet(database, story)
    fleet.run()
    return fleet, Counter({promise.__name__: promise(fleet) for promise in PROMISES})


@pytest.mark.proof
@pytest.mark.search
@pytest.mark.timeout(1_800)
def test_any_three_minutes_of_a_fleet_keep_its_promises(database):
    """A failure prints the story, which always runs the same way."""
    seen: Counter[str] = Counter()

    @settings(
        max_examples=settings.default.max_examples // 25,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(STORIES)
    def tell(story: Story) -> None:
        seen.update(keeps_its_promises(database, story)[1])

    tell()

    unseen = [promise.__name__ for promise in PROMISES if not seen[promise.__name__]]
    assert not unseen, "no story was about these"


@pytest.mark.proof
@pytest.mark.timeout(600)
def test_a_heavy_site_whose_own_quota_is_used_up_does_not_slow_three_others(database):
    """It is first in line all the time, since it can be served so little, and would hold the slots and the start of new
    blogs if it were waited for."""
    others = tuple(Site(weight=weight, backlog=60) for weight in (0.5, 1.0, 2.0))
    limits = Limits(ideas=(60, 200_000), content=(30, 120_000), pictures=60)
    story = Story(
        sites=(*others, Site(weight=4.0, backlog=60, wix_rpm=6)), limits=limits, slots=(20, 20), seconds=240.0
    )

    fleet, seen = keeps_its_promises(database, story)

    assert seen["tokens_go_by_weight"]
    assert seen["the_narrowest_quota_is_used"]
    during = [look.sites["site3"] for look in fleet.looks if look.at < fleet.opened_at]
    assert all(site["waiting"] > 30 for site in during), "its blogs waited all the time"
    assert max(site["running"] for site in during) <= 3, "in line, not in slots"


@pytest.mark.proof
@pytest.mark.timeout(600)
def test_a_narrow_quota_that_ideas_and_posts_share_is_used(database):
    """The ideas of the next blog wait for the post of this one, which is twice as long: too few blogs under way would
    leave a fifth of it unused."""
    limits = Limits(ideas=(60, 24_000), content=(60, 24_000), pictures=60, one_model=True)
    story = Story(sites=(Site(backlog=40), Site(backlog=40)), limits=limits, slots=(15, 15), seconds=360.0)

    fleet, seen = keeps_its_promises(database, story)

    assert seen["the_narrowest_quota_is_used"]
    used = sum(call.used for call in fleet.calls if call.went and 60 <= call.answered_at < 360)
    assert used >= 0.9 * 5 * 24_000


@pytest.mark.proof
@pytest.mark.timeout(600)
def test_a_worker_that_joins_a_busy_fleet_takes_its_part(database):
    """Its first guess of how long blogs take is low. By that guess enough of them are under way, and it would never get
    one to learn from, while the workers that know better have no slots left."""
    limits = Limits(ideas=(60, 240_000), content=(60, 240_000), pictures=30)
    sites, joins = (Site(backlog=90), Site(backlog=90)), Trouble(at=90, what="worker", n=18)
    story = Story(sites=sites, limits=limits, slots=(18,), troubles=(joins,), seconds=240.0)

    fleet, _ = keeps_its_promises(database, story)

    running = [sum(site["running"] for site in look.sites.values()) for look in fleet.looks if 120 < look.at < 240]
    assert median(running) > 18
    calls = [call for call in fleet.calls if call.went and call.stage == Stage.IMAGE and 150 <= call.answered_at < 240]
    assert len(calls) >= 0.9 * 45
