"""Times as shops and spreadsheets write them."""

import re
from collections.abc import Callable
from datetime import UTC, datetime

DATE = re.compile(r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}(?:[T ]|$)|\d{8}(?:T|$)")
NO_DATE = re.compile(r"0000-00-00.*")  # as MySQL writes it
DAYS = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%y", "%d/%m/%y", "%m/%d/%y")
CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p")
FORMS = ("%Y-%m-%d %H:%M:%S %z", *(day + clock for day in DAYS for clock in CLOCKS))


def times(value: str) -> list[datetime]:
    """Return the times that the value may mean: 03/04/2027 is in March or in April. Empty if it is not a time."""
    text = " ".join(value.replace(",", " ").split())
    if not DATE.match(text):
        return []
    found = []
    for read in (datetime.fromisoformat, *map(_reader, FORMS)):
        try:
            time = read(text)
        except ValueError:
            continue
        found.append(time if time.tzinfo else time.replace(tzinfo=UTC))
    return found


def _reader(form: str) -> Callable[[str], datetime]:
    return lambda text: datetime.strptime(text, form)  # noqa: DTZ007 - a time without a zone is taken as UTC
