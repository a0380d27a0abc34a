"""The decimal separator of a file, found from its prices: in a file with 12,50 the price 1.299 means 1299."""

from collections import Counter
from collections.abc import Iterator
from itertools import chain

from blogworker.intake.money import OTHER, Point, is_ambiguous, point_of
from blogworker.intake.table import TableRow

PRICES = ("price", "sale_price", "compare_at_price", "surcharge", "discount_value")
CLEARLY = 4  # times as many prices must show one separator as the other; the others are mistakes
AHEAD_ROWS, AHEAD_CHARACTERS = 5_000, 16 << 20  # limits for reading ahead to a price that shows the separator


class DecimalSeparator:
    """Yields the rows, and knows the decimal separator before a row that needs it.

    It reads ahead only for an ambiguous price, and only if no price before it showed the separator.
    """

    def __init__(self, rows: Iterator[TableRow]) -> None:
        self._rows = rows
        self._shown: Counter[Point] = Counter()
        self._broken: OSError | None = None  # raised while reading ahead; raised again at its place in the file

    @property
    def point(self) -> Point | None:
        """Return the separator; None if no price shows it, or if too many prices contradict the others."""
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
