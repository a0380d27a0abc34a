"""What a fleet promises, checked against what happened. Each check gives how often it had something to look at."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import combinations
from math import ceil

from blogworker.demo.fairness import jain
from blogworker.queue.job import Stage
from blogworker.quota.bucket_client import POLL_S
from blogworker.quota.limiter import FEW_CALLS
from blogworker.quota.limiter import REFRESH_S as HEARS_S

from .fleet import PATIENCE_S, TOKENS, USED, Fleet
from .story import FREE_RPM
from .virtual import Look

WINDOW_S, STEP_S = 60.0, 5.0
RAMP_S = 60.0  # until the first blogs are through the stages before the narrowest quota: 55 s at most
SETTLE_S = 60.0  # after a block or an outage, until what piled up meanwhile is through
BLOG_TOKENS = sum(sum(USED[stage]) / 2 for stage in USED)
APART_BLOGS = 3.0
LEAST_JAIN, ENOUGH_BLOGS = 0.9, 10
LEAST_USE = 0.85
LATE_S = 2.0
COST_RATIO = 1.35  # a new site is taken for one of 6,000 tokens a blog; blogs here take 5,000
JITTER = 1.3


def slots_are_shared(fleet: Fleet) -> int:
    """While another site is in line, no site is given jobs beyond its share of the slots by weight.

    The exact bound: after a claim, a site that was given something runs no more than max(1, ceil(S * w / W)). S: the
    slots of all workers; W: the weights of the sites in line before the claim that no limit of their own holds back,
    and its own. It holds where `served` (claim.sql) says so: while new blogs may start. While none may, nobody is in
    line as the claim sees it, and what is part done is taken whosever it is: it is paid for in part, and nothing else
    could have the slot. What the limits of other sites leave to them is not known here, so these are not counted.
    """
    seen = 0
    for taken in fleet.database.taken:
        sites, slots = taken.before.sites, fleet.slots(taken.before.at)
        if not taken.before.starts:
            continue
        for name in {job["instance_id"] for job in taken.jobs}:
            others = [other for other in _free(fleet) if other in sites and sites[other]["in_line"] and other != name]
            if not others:
                continue
            weight = sum(sites[other]["weight"] for other in (*others, name))
            share = max(1, ceil(slots * sites[name]["weight"] / weight))
            seen += 1
            assert taken.running[name] <= share, (
                f"at {taken.before.at:.2f} {name} was given {taken.running[name]} of {slots} slots, "
                f"its share is {share} while {others} were in line"
            )
    return seen


def no_call_waits_long(fleet: Fleet) -> int:
    """A call goes, or gives its slot back, within the patience and one poll. One that had been granted and has to ask
    again, because its bucket was blocked or changed, is patient anew from then on. For the slow quota of a site the
    patience is the time of a few calls: a blog that gave up before would never make its last call."""
    for call in fleet.calls:
        if call.answered_at < 0:
            continue  # the story ended
        changes = [at for at in fleet.epochs.get(call.bucket, []) if call.asked_at < at < call.answered_at]
        patience_s = PATIENCE_S
        if call.bucket.startswith("wix/"):
            patience_s = max(PATIENCE_S, FEW_CALLS * 60 / fleet.sites[call.site].wix_rpm)
        since, allowed_s = max([call.asked_at, *changes]), patience_s + POLL_S + (HEARS_S if changes else 0)
        assert call.answered_at - since <= allowed_s, (
            f"the {call.stage} call of blog {call.job_id} asked {call.bucket} at {call.asked_at:.2f} and was answered "
            f"at {call.answered_at:.2f}: {call.answered_at - since:.2f} s in a slot, {allowed_s} are allowed"
        )
    return len(fleet.calls)


def no_blog_is_claimed_over_and_over(fleet: Fleet) -> int:
    """A blog that is given back because its quota is used up must not be claimed again before that can have changed."""
    claimed: defaultdict[int, list[float]] = defaultdict(list)
    for taken in fleet.database.taken:
        for job in taken.jobs:
            claimed[job["job_id"]].append(taken.before.at)
    for job_id, times in claimed.items():
        for first, third in zip(times, times[2:], strict=False):
            assert third - first >= 1, (
                f"blog {job_id} was claimed three times within {third - first:.2f} s of {first:.2f}"
            )
    return len(claimed)


def tokens_go_by_weight(fleet: Fleet) -> int:
    """Sites whose blogs wait all the time get tokens by their weight, minute by minute.

    The bound between two sites i and j, in blogs per unit of weight: 3 * (1 / w_i + 1 / w_j). One blog each is what any
    round robin has: a turn that has come for the one and not for the other. One more each: a turn is a whole blog and
    is charged when it is claimed, its calls go in the minute or after it. The third: blogs do not all use the same, and
    one that had waited is booked when it ends. It holds also across blocks, outages and newcomers. Who is three blogs
    off at each end is within a Jain's index of 0.9 from ten blogs on: (10 / 7) * (13 / 10) is below 2.
    """
    seen = 0
    for begins, looks in _windows(fleet, RAMP_S):
        sites = [name for name in _free(fleet) if all(_waits(look, name) for look in looks)]
        tokens: Counter[str] = Counter()
        blogs: Counter[str] = Counter()
        for call in fleet.calls:
            if call.went and begins <= call.answered_at < begins + WINDOW_S:
                tokens[call.site] += call.used
                blogs[call.site] += call.stage == Stage.CONTENT
        weights = {name: fleet.sites[name].weight for name in sites}
        served = {name: tokens[name] / BLOG_TOKENS / weights[name] for name in sites}
        for one, other in combinations(sites, 2):
            seen += 1
            bound = APART_BLOGS * (1 / weights[one] + 1 / weights[other])
            assert abs(served[one] - served[other]) <= bound, (
                f"in the minute from {begins:.0f} {one} got {served[one]:.2f} blogs per unit of weight and {other} "
                f"{served[other]:.2f}: more than {bound:.2f} apart"
            )
        enough = [served[name] for name in sites if blogs[name] >= ENOUGH_BLOGS]
        if len(enough) > 1:
            assert jain(enough) >= LEAST_JAIN, f"Jain's index of the minute from {begins:.0f} is {jain(enough):.3f}"
    return seen


def the_narrowest_quota_is_used(fleet: Fleet) -> int:
    """While new blogs wait that nothing else holds back, and slots are free, the narrowest quota does not idle.

    In any minute it lets through 85 % of what it can, give or take one blog: where it lets through ten a minute, nine
    may fall into a minute. Not counted: the first minute, and the one after a block or an outage.
    """
    seen = 0
    for begins, looks in _windows(fleet, RAMP_S):
        waits = all(any(_waits(look, name) for name in _free(fleet)) for look in looks)
        if not waits or not _calm(fleet, begins - SETTLE_S, begins + WINDOW_S):
            continue
        if any(_in_flight(look) >= fleet.slots(look.at) for look in looks):
            continue
        seen += 1
        uses = {name: _use(fleet, name, begins) for name in {bucket.name for bucket in fleet.buckets.values()}}
        assert max(uses.values()) >= LEAST_USE, (
            f"in the minute from {begins:.0f} quotas were used to {uses}, and blogs waited with slots free"
        )
    return seen


def newcomers_start_soon(fleet: Fleet) -> int:
    """The one blog of a new site starts within a round of the sites.

    The bound, in blogs of the narrowest quota: those that came at the same moment, and of each site j in line the blogs
    whose turns end before its own, w_j / w of them, more by as much as the cost of a blog is not known yet. Plus one
    look and two seconds. So where all weights are equal it is about one blog of each site in line.
    """
    seen, first = 0, _first_claims(fleet)
    for name, came_at in fleet.came.items():
        claimed_at = first.get(name, fleet.opened_at)
        look = max((look for look in fleet.looks if look.at <= came_at), key=lambda look: look.at)
        meanwhile = [look for look in fleet.looks if came_at - 1 <= look.at <= claimed_at + 1]
        if not _calm(fleet, came_at - SETTLE_S, claimed_at) or claimed_at > fleet.opened_at:
            continue
        if any(_in_flight(look) >= fleet.slots(look.at) for look in meanwhile):
            continue
        together = sum(abs(at - came_at) <= claimed_at - came_at for at in fleet.came.values())
        weights = sum(site["weight"] for site in look.sites.values() if site["waiting"] and not site["paused"])
        allowed_s = (together + COST_RATIO * weights) * _blog_s(fleet) + JITTER * PATIENCE_S / 2 + LATE_S
        seen += 1
        assert claimed_at - came_at <= allowed_s, (
            f"{name} came at {came_at:.1f} and started {claimed_at - came_at:.1f} s later, {allowed_s:.1f} are allowed "
            f"for {together} newcomers, {weights} of weight in line, {_blog_s(fleet):.1f} s a blog"
        )
    return seen


def nothing_is_lost(fleet: Fleet) -> int:
    """Once everything is opened all blogs get done in time, each claimed by one worker at a time, without a failure.

    In time: one and a half times what the narrowest quota or the slots need for all that is left, and the longest blog.
    """
    assert not fleet.doubled, f"blogs {fleet.doubled} were claimed while another attempt at them ran"
    left = [blog for blog in fleet.blogs if blog["status"] != "DONE"]
    assert not left, (
        f"{len(left)} of {fleet.left} blogs were not done {fleet.drain_s:.0f} s after all was opened: {left[:5]}"
    )
    spent = [blog for blog in fleet.blogs if blog["failures"] or blog["rescues"]]
    assert not spent, f"attempts that were given back used failures: {spent[:5]}"
    return len(fleet.blogs)


PROMISES = (
    slots_are_shared,
    no_call_waits_long,
    no_blog_is_claimed_over_and_over,
    tokens_go_by_weight,
    the_narrowest_quota_is_used,
    newcomers_start_soon,
    nothing_is_lost,
)


def _windows(fleet: Fleet, ramp_s: float) -> Iterator[tuple[float, list[Look]]]:
    """Minutes of the story, and the looks from `ramp_s` before each to its end."""
    begins = ramp_s
    while begins + WINDOW_S <= fleet.opened_at:
        yield begins, [look for look in fleet.looks if begins - ramp_s <= look.at <= begins + WINDOW_S]
        begins += STEP_S


def _free(fleet: Fleet) -> list[str]:
    """Sites that no limit of their own holds back."""
    return [name for name, site in fleet.sites.items() if site.wix_rpm == FREE_RPM and site.max_in_flight is None]


def _waits(look: Look, name: str) -> bool:
    return name in look.sites and look.sites[name]["waiting"] > 0 and not look.sites[name]["paused"]


def _in_flight(look: Look) -> int:
    return sum(site["running"] for site in look.sites.values())


def _calm(fleet: Fleet, begins: float, ends: float) -> bool:
    return not any(since < ends and until > begins for since, until, _ in fleet.troubles)


def _first_claims(fleet: Fleet) -> dict[str, float]:
    first: dict[str, float] = {}
    for taken in fleet.database.taken:
        for job in taken.jobs:
            first.setdefault(job["instance_id"], taken.before.at)
    return first


def _use(fleet: Fleet, name: str, begins: float) -> float:
    """How much of a minute's quota went, and one blog."""
    bucket = next(bucket for bucket in fleet.buckets.values() if bucket.name == name)
    stages = [stage for stage, other in fleet.buckets.items() if other.name == name]
    calls = [c for c in fleet.calls if c.went and c.bucket == name and begins <= c.answered_at < begins + WINDOW_S]
    used = (len(calls) + len(stages)) / bucket.requests_per_minute
    if bucket.tokens_per_minute is None:
        return used
    a_blog = sum(sum(USED[stage]) / 2 for stage in stages)
    return max(used, (sum(call.used for call in calls) + a_blog) / bucket.tokens_per_minute)


def _blog_s(fleet: Fleet) -> float:
    """In which the narrowest quota lets one blog through, by what is reserved."""
    names = [bucket.name for bucket in fleet.buckets.values()]
    seconds = []
    for stage, bucket in fleet.buckets.items():
        tokens = sum(TOKENS[s] for s, other in fleet.buckets.items() if other.name == bucket.name)
        seconds.append(names.count(bucket.name) * 60 / bucket.requests_per_minute)
        if bucket.tokens_per_minute is not None:
            seconds.append(max(tokens, TOKENS[stage]) * 60 / bucket.tokens_per_minute)
    return max(seconds)
