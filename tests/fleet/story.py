"""What happens to a fleet: who its sites are, what its quotas let through, and what goes wrong when."""

from dataclasses import dataclass

from hypothesis import strategies as st

from blogworker.queue.job import Stage

FREE_RPM = 3_000  # of a site that its own quota never holds back


@dataclass(frozen=True)
class Site:
    weight: float = 1.0
    backlog: int = 0
    wix_rpm: int = FREE_RPM
    max_in_flight: int | None = None


@dataclass(frozen=True)
class Limits:
    """Calls a minute, tokens a minute."""

    ideas: tuple[int, int]
    content: tuple[int, int]
    pictures: int
    one_model: bool = False  # ideas and content share a bucket, with the limits of content


@dataclass(frozen=True)
class Trouble:
    """From `at` on for `seconds`. What: `pause` of the nth site, `block` of the nth bucket, `outage` of the nth
    provider; or at once: `newcomers`, so many, or a `worker` of so many slots."""

    at: float
    what: str
    n: int
    seconds: float = 0.0


@dataclass(frozen=True)
class Story:
    sites: tuple[Site, ...]
    limits: Limits
    slots: tuple[int, ...]  # of each worker
    troubles: tuple[Trouble, ...] = ()
    seconds: float = 180.0
    seed: int = 0


@dataclass(slots=True)
class Call:
    """What became of one."""

    stage: Stage
    bucket: str
    site: str
    job_id: int
    asked_at: float
    answered_at: float = -1.0
    went: bool = False
    used: int = 0


WEIGHTS = st.sampled_from((0.5, 1.0, 2.0, 4.0))
BUSY = st.builds(Site, weight=WEIGHTS, backlog=st.integers(30, 60))
ANY = st.builds(Site, weight=WEIGHTS, backlog=st.integers(0, 60))
HELD_BACK = st.builds(
    Site,
    weight=WEIGHTS,
    backlog=st.integers(0, 60),
    wix_rpm=st.sampled_from((9, 30, 150)),
    max_in_flight=st.sampled_from((None, None, 1, 3)),
)


def _calls(least: int, most: int) -> st.SearchStrategy[tuple[int, int]]:
    """Calls a minute, and tokens for about as many posts."""
    return st.tuples(st.integers(least, most), st.integers(least * 4_000, most * 4_000))


WIDE, NARROW = _calls(30, 90), _calls(6, 15)
LIMITS = st.one_of(
    st.builds(Limits, ideas=WIDE, content=WIDE, pictures=st.integers(20, 60), one_model=st.booleans()),
    st.builds(Limits, ideas=NARROW, content=WIDE, pictures=st.integers(20, 60)),
    st.builds(Limits, ideas=WIDE, content=NARROW, pictures=st.integers(20, 60), one_model=st.booleans()),
    st.builds(Limits, ideas=WIDE, content=WIDE, pictures=st.integers(6, 12), one_model=st.booleans()),
)
TROUBLES = st.builds(
    Trouble,
    at=st.integers(5, 150),
    what=st.sampled_from(("newcomers", "newcomers", "pause", "block", "outage")),
    n=st.integers(1, 6),
    seconds=st.sampled_from((2.0, 8.0, 25.0)),
)
STORIES = st.builds(
    lambda busy, others, **facts: Story(sites=(*busy, *others), **facts),
    busy=st.tuples(BUSY, BUSY),
    others=st.lists(st.one_of(ANY, HELD_BACK), max_size=4),
    limits=LIMITS,
    slots=st.lists(st.integers(8, 25), min_size=2, max_size=3).map(tuple),
    troubles=st.lists(TROUBLES, max_size=4).map(tuple),
    seed=st.integers(0, 999),
)
