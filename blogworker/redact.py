"""Hides secrets in text: those that are known by their value, and others by their shape.

A vendor echoes a key anywhere: in a message, a code, a header, escaped in JSON or HTML, within a base64 header, masked
or cut. So a known secret is hidden in each of these forms, and wherever a text shares PIECE characters with it.
`SECRETS` serves the whole process, as logging does: an error is raised where nobody can hand it a redactor.

Each stretch of GRAM characters of each form is a key of one table. A text is looked at every STEP characters only: a
stretch of SHORTEST characters holds a whole gram that begins at one of these places. From there it is extended both
ways. Tokens are as many as the sites, so only every 2^n-th gram of theirs is kept: since STEP is odd, a stretch of
2^n * STEP characters still meets one of them, and a token is longer than that.

What is shorter than SHORTEST would star out half of a log, and is hidden only where a credential stands, such as in an
address. A word ("postgres") is hidden in errors and logs, and left in what is written for readers.
"""

import html
import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

HIDDEN = "[secret]"
SHORTEST = 8  # characters of a secret that is known by its value
PIECE = 12  # of a longer one, in a row, that do not get through
GRAM = 4
STEP = SHORTEST - GRAM + 1
LONGEST_WORD = 15
LATELY_FORGOTTEN = 1_000  # tokens; the answer that echoes a replaced one may still be on its way
DEEPEST = 32
SHOWN_HEAD, SHOWN_TAIL = 3, 4  # characters that a vendor shows of a key beside its stars

# A text that lacks the mark need not be searched, which is most of them.
SHAPES = {
    mark: re.compile(shape)
    for mark, shape in (
        ("Bearer", r"Bearer\s+\S+"),
        ("bearer", r"bearer\s+(?=\S*\d)\S{8,}"),  # in prose, a bearer is a person
        ("Basic", r"Basic\s+[\w+/=-]{8,}"),
        ("OauthNG", r"OauthNG\S+"),
        *((key, rf"\b{key}[-_][\w*.-]{{4,}}") for key in ("sk", "r8", "rk", "pk")),
        ("://", r"://[^\s/?#@:]*:(?P<value>[^\s/@]+)@"),
        *((name, rf"{name}=(?P<value>[^\s&;,'\"]+)") for name in ("password", "secret", "token", "api_key", "apikey")),
    )
}
MASK = re.compile(r"[*•]{2,}|\.{2,}|…")
WORD = re.compile(r"[A-Za-z]+|[0-9]+")
PLAIN = re.compile(r"[A-Za-z0-9_.-]+")
# What is left as it is in a path, in a query by the common clients, by JavaScript, and nowhere.
UNQUOTED = ("/", "/!$&'()*+,;=:@", "/!$&'()*+,;=:@?", "!'()*", "")

Span = tuple[int, int]


class Redactor:
    """The secrets that are known."""

    def __init__(self) -> None:
        self._grams: dict[str, dict[tuple[str, int], None]] = {}  # -> forms that hold it, and where
        self._words: set[str] = set()
        self._secrets: set[str] = set()
        self._tokens: dict[str, tuple[str, ...]] = {}  # -> their forms
        self._forgotten: dict[str, None] = {}  # oldest first

    def learn(self, secret: str) -> None:
        """Hide this one from now on."""
        if secret in self._secrets or not _hideable(secret):
            return
        self._secrets.add(secret)
        for form in forms(secret):
            self._add(form, 1)
            if len(secret) <= LONGEST_WORD and WORD.fullmatch(secret):
                self._words.add(form)

    def learn_token(self, token: str) -> None:
        """Hide this one until it is forgotten."""
        self._forgotten.pop(token, None)
        if token in self._secrets or token in self._tokens or not _hideable(token):
            return
        self._tokens[token] = tuple(forms(token))
        for form in self._tokens[token]:
            self._add(form, _stride(form))

    def forget_token(self, token: str) -> None:
        """It was replaced. It is hidden until LATELY_FORGOTTEN others were."""
        if token not in self._tokens:
            return
        self._forgotten[token] = None
        if len(self._forgotten) > LATELY_FORGOTTEN:
            oldest = next(iter(self._forgotten))
            del self._forgotten[oldest]
            for form in self._tokens.pop(oldest):
                self._remove(form, _stride(form))

    def clear(self) -> None:
        """Know nothing: between tests."""
        for known in (self._grams, self._words, self._secrets, self._tokens, self._forgotten):
            known.clear()

    def hide(self, text: str, *, shapes: bool = True, words: bool = True) -> str:
        """The text without secrets. `shapes`: what looks like one, too; `words`: secrets that are mere words, too."""
        if len(text) < SHORTEST:
            return text
        spans = [*_shaped(text)] if shapes else []
        if self._grams:
            spans += self._stretches(text, words=words, hidden=spans)
            spans += self._masked(text) if words else ()
        return _without(text, spans) if spans else text

    def hide_all(self, value: Any, *, shapes: bool = True, words: bool = True, level: int = 0) -> Any:
        """A value with every string in it cleaned, at any depth; an object that tells one becomes text."""
        match value:
            case str():
                return self.hide(value, shapes=shapes, words=words)
            case None | bool() | int() | float():
                return value
            case Mapping() | list() | tuple() | set() | frozenset() if level < DEEPEST:
                return self._hide_within(value, shapes=shapes, words=words, level=level + 1)
            case _:
                shown = str(value)
                told = any(self.hide(form, shapes=shapes, words=words) != form for form in (shown, repr(value)))
                return self.hide(shown, shapes=shapes, words=words) if told else value

    def _hide_within(self, value: Collection[Any], *, shapes: bool, words: bool, level: int) -> Any:
        def cleaned(entry: object) -> Any:
            return self.hide_all(entry, shapes=shapes, words=words, level=level)

        if isinstance(value, Mapping):
            return {cleaned(key): cleaned(entry) for key, entry in value.items()}
        entries = [cleaned(entry) for entry in value]
        return tuple(entries) if isinstance(value, tuple) else entries

    def _add(self, form: str, stride: int) -> None:
        for offset in range(0, len(form) - GRAM + 1, stride):
            self._grams.setdefault(form[offset : offset + GRAM], {})[form, offset] = None

    def _remove(self, form: str, stride: int) -> None:
        for offset in range(0, len(form) - GRAM + 1, stride):
            gram = form[offset : offset + GRAM]
            found = self._grams.get(gram, {})
            found.pop((form, offset), None)
            if not found:
                self._grams.pop(gram, None)

    def _stretches(self, text: str, *, words: bool, hidden: Iterable[Span]) -> Iterator[Span]:
        """What the text shares with known forms. What is `hidden` is not looked into: of thousands of tokens that begin
        alike, each would be compared."""
        grams = self._grams
        places = [at for at in range(0, len(text) - GRAM + 1, STEP) if text[at : at + GRAM] in grams]
        covered = 0
        for at in places:
            if at < covered or any(begin <= at and at + GRAM <= end for begin, end in hidden):
                continue
            for form, offset in grams[text[at : at + GRAM]]:
                begin, end = _extended(text, at, form, offset)
                if end - begin >= min(len(form), PIECE) and (words or form not in self._words):
                    covered = max(covered, end)
                    yield begin, end

    def _masked(self, text: str) -> Iterator[Span]:
        """Keys as vendors show them: their first and last characters, stars or dots between them."""
        if not ("**" in text or ".." in text or "…" in text or "••" in text):  # quicker than the pattern
            return
        for mask in MASK.finditer(text):
            begin, end = mask.span()
            for secret in self._secrets:
                head, tail = _shown_before(secret, text, begin), _shown_after(secret, text, end)
                if head or tail:
                    yield begin - head, end + tail


SECRETS = Redactor()


def forms(secret: str) -> set[str]:
    """A secret as it may stand in a text: as it is, escaped, encoded."""
    raw = secret.encode(errors="surrogatepass")
    if PLAIN.fullmatch(secret):  # no escape changes it
        return {form for form in (secret, *_in_base64(raw)) if _hideable(form)}
    escaped = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    escaped |= {repr(secret)[1:-1], ascii(secret)[1:-1], repr(raw)[2:-1]}
    escaped |= {form.replace("/", r"\/") for form in escaped}
    escaped |= {json.dumps(form)[1:-1] for form in escaped} | {repr(form)[1:-1] for form in escaped}
    escaped |= {form.replace("'", r"\'") for form in escaped}  # in a text with both quotes
    tags = html.escape(secret, quote=False)
    escaped |= {tags, tags.replace('"', "&quot;"), html.escape(secret)}
    escaped |= {tags.replace('"', "&#34;").replace("'", "&#39;"), html.escape(secret).replace("&#x27;", "&#39;")}
    quoted = {quote(raw, safe=safe) for safe in UNQUOTED} | {quote_plus(raw)}
    quoted |= {re.sub("%..", lambda found: found[0].lower(), form) for form in quoted}
    found = {secret, " ".join(secret.split())} | escaped | quoted | set(_in_base64(raw))
    return {form for form in found if _hideable(form)}


def _in_base64(raw: bytes) -> Iterator[str]:
    """What is always the same of base64, whatever stands around the secret: it may begin at any of three places."""
    for before in range(3):
        begin, end = -(-before * 4 // 3), (before + len(raw)) * 8 // 6
        for encode in (b64encode, urlsafe_b64encode):
            yield encode(bytes(before) + raw).decode()[begin:end]


def _hideable(secret: str) -> bool:
    return len(secret.strip()) >= SHORTEST


def _stride(form: str) -> int:
    """Between the grams that are kept of a token: the largest power of two that no stretch of its length can miss."""
    stride = 1
    while 2 * stride * STEP + GRAM <= len(form):
        stride *= 2
    return stride


def _extended(text: str, at: int, form: str, offset: int) -> Span:
    """All of a form that stands around one gram of it."""
    begin, end = at, at + GRAM
    shift = offset - at
    while begin > 0 and begin + shift > 0 and text[begin - 1] == form[begin + shift - 1]:
        begin -= 1
    while end < len(text) and end + shift < len(form) and text[end] == form[end + shift]:
        end += 1
    return begin, end


def _shown_before(secret: str, text: str, end: int) -> int:
    """How many of a secret's first characters end there, if enough to tell that they are its own."""
    if secret[:SHOWN_HEAD] not in text[max(0, end - len(secret)) : end]:
        return 0
    lengths = range(min(len(secret), end), SHOWN_HEAD - 1, -1)
    return next((length for length in lengths if text[end - length : end] == secret[:length]), 0)


def _shown_after(secret: str, text: str, begin: int) -> int:
    """How many of its last characters begin there."""
    if secret[-SHOWN_TAIL:] not in text[begin : begin + len(secret)]:
        return 0
    lengths = range(len(secret), SHOWN_TAIL - 1, -1)
    return next((length for length in lengths if text.startswith(secret[-length:], begin)), 0)


def _shaped(text: str) -> Iterator[Span]:
    for mark, shape in SHAPES.items():
        if mark in text:
            for found in shape.finditer(text):
                yield found.span(found.lastgroup or 0)


def _without(text: str, spans: list[Span]) -> str:
    parts, at = [], 0
    for begin, end in _merged(spans):
        parts += [text[at:begin], HIDDEN]
        at = end
    return "".join([*parts, text[at:]])


def _merged(spans: list[Span]) -> Iterator[Span]:
    """Those that touch or overlap are one."""
    begin, end = -1, -1
    for first, last in sorted(spans):
        if first > end:
            if end >= 0:
                yield begin, end
            begin, end = first, last
        end = max(end, last)
    if end >= 0:
        yield begin, end
