"""`python -m tests.evaluation`: the table of what became of each misbehaviour. Options: --stubborn, --why, KIND..."""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from blogworker.simulator.misbehaviours import MISBEHAVIOURS

sys.path.insert(0, str(Path(__file__).parents[1]))  # as pytest does: the harness of the stages is there

from .cases import cases
from .evaluate import Cell, Outcome, evaluated

SHOWN = 160  # characters of a reason
STEP = 7  # sources from one misbehaviour to the next: the kinds of sources and the languages take turns


def cells(kinds: Sequence[str], *, one_of: int = 1, stubborn: bool = False) -> Iterator[Cell]:
    """Each misbehaviour with every source, or with one of so many: with others for each misbehaviour."""
    known = cases()
    for place, kind in enumerate(kinds):
        for case in known:
            if (case.number + place * STEP) % one_of == 0:
                yield evaluated(case, kind, stubborn=stubborn)


def table(found: list[Cell]) -> str:
    """A row for each misbehaviour and for each language, a column for each outcome."""
    rows = [("misbehaviour", *(outcome.value for outcome in Outcome))]
    for of in ("kind", "language"):
        groups = dict.fromkeys(cell.kind if of == "kind" else cell.case.language for cell in found)
        for group in groups:
            counts = Counter(c.outcome for c in found if group in (c.kind, c.case.language))
            rows.append((group, *(str(counts[outcome] or "") for outcome in Outcome)))
        rows.append(("all", *(str(Counter(cell.outcome for cell in found)[outcome]) for outcome in Outcome)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) if place else cell.ljust(width) for place, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(row, widths, strict=True)) for row in rows)
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.evaluation", description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(MISBEHAVIOURS)}; all if none is named")
    parser.add_argument("--stubborn", action="store_true", help="the repair is misbehaved as well")
    parser.add_argument("--why", action="store_true", help="say what got through, was lost or refused")
    parser.add_argument("--one-of", type=int, default=1, metavar="N", help="take one of so many sources")
    asked = parser.parse_args()
    found = []
    for cell in cells(asked.kinds or [*MISBEHAVIOURS], one_of=asked.one_of, stubborn=asked.stubborn):
        found.append(cell)
        if cell.is_bad or (asked.why and cell.why):
            name = f"{cell.kind} {cell.case.language} {cell.case.kind} {cell.case.number}"
            print(f"{name}: {cell.outcome.value}: {cell.why[:SHOWN]}", flush=True)  # noqa: T201
    print(table(found))  # noqa: T201
    return any(cell.is_bad for cell in found)


if __name__ == "__main__":
    sys.exit(main())
