"""The decimal sign of a file, which its prices show: beside 12,50 a price of 1.299 is above a thousand."""

from collections import Counter
from collections.abc import Iterator
from itertools import chain

from blogworker.intake.money import OTHER, Point, is_ambiguous, point_of
from blogworker.intake.table import TableRow

PRICES = ("price", "sale_price", "compare_at_price", "surcharge", "discount_value")
CLEARLY = 4  # times as many prices show the one sign as the other: what is left are slips
AHEAD_ROWS, AHEAD_CHARACTERS = 5_000, 16 << 20  # read ahead at most, in search of a price that shows the sign


class DecimalSign:
    """Passes rows on, and knows the sign by the time a price needs it.

    It reads ahead only for a price that can be read in two ways, and only where no price before it showed the sign.
    """

    def __init__(self, rows: Iterator[TableRow]) -> None:
        self._rows = rows
        self._shown: Counter[Point] = Counter()
        self._broken: OSError | None = None  # what ended the reading ahead, for its own place in the file

    @property
    def point(self) -> Point | None:
        """None where no price shows it, or where too many prices contradict the others."""
        return next((one for one, other in OTHER.items() if self._shown[one] > CLEARLY * self._shown[other]), None)

    def __iter__(self) -> Iterator[TableRow]:
        ahead: list[TableRow] = []
        for row in self._rows:
            self._look_at(row)
            if not self._shown and any(map(is_ambiguous, _prices(row))):
                ahead = self._read_ahead()
            yield from chain([row], ahead)
            ahead = []
            if self._broken is not None:
                raise self._broken

    def _read_ahead(self) -> list[TableRow]:
        ahead: list[TableRow] = []
        size = 0
        try:
            for row in self._rows:
                ahead.append(row)
                self._look_at(row)
                size += sum(map(len, row.cells.values()))
                if self._shown or len(ahead) >= AHEAD_ROWS or size >= AHEAD_CHARACTERS:
                    break
        except OSError as error:
            self._broken = error
        return ahead

    def _look_at(self, row: TableRow) -> None:
        self._shown.update(point for price in _prices(row) if (point := point_of(price)) is not None)


def _prices(row: TableRow) -> list[str]:
    return [cell for name in PRICES if (cell := row.cells.get(name))]
