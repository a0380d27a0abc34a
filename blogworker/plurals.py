"""Numbers with their nouns, for messages to a person."""


def counted(number: int, noun: str) -> str:
    """Return the number with the noun in singular or plural: `1 job`, `2,000 jobs`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
