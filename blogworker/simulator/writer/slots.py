"""What the phrases may say about a subject."""

from collections.abc import Sequence

from blogworker.simulator.writer.grammar import upper_first
from blogworker.simulator.writer.subject import Subject


def slots_of(subject: Subject) -> dict[str, str | Sequence[str]]:
    """What the phrases may say about a subject; what is not known is left out."""
    many = subject.plural
    question = upper_first(subject.question)
    known = {
        "question": question,
        "price": subject.price,
        "vendor": subject.vendor,
        "tag": [tag.lower() for tag in subject.tags],
    }
    return {
        **subject.theme.words,
        **{name: value for name, value in known.items() if value},
        "the": subject.phrase,
        "name": subject.name,
        "noun": subject.noun,
        "nouns": subject.nouns,
        "anoun": f"a {subject.noun}",
        "it": "they" if many else "it",
        "ito": "them" if many else "it",
        "its": "their" if many else "its",
        "is": "are" if many else "is",
        "was": "were" if many else "was",
        "has": "have" if many else "has",
        "does": "do" if many else "does",
        "s": "" if many else "s",
        "es": "" if many else "es",
    }
