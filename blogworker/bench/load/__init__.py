"""Real workers under load, at the limits of the seed; the vendors' clock runs faster.

    world     a fresh database that records every move, a fresh simulator, and the worker processes
    history   what became of each blog, and who held the slots
    shares    how evenly the sites were served, minute by minute
    cpu       CPU time that processes have used

Times in this package are real seconds. The benches multiply them by the speed, which gives the vendors' time.
"""

from blogworker.bench.load.history import Blog, Look, SlotWatch, blogs, longest_wait_s
from blogworker.bench.load.world import Scale, World, opened

__all__ = ["Blog", "Look", "Scale", "SlotWatch", "World", "blogs", "longest_wait_s", "opened"]
