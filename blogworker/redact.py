"""Hides secrets in text: known secrets by their value, others by their shape.

A provider may echo a key anywhere: in a message, a code or a header, escaped in JSON or HTML, in base64, in hex, masked
or truncated. So a known secret is hidden in each of these forms, and wherever a text has PIECE consecutive characters
of it. `SECRETS` is global to the process, like logging, because an error can be raised where no redactor can be passed.

An index maps every GRAM characters of each form (a gram) to the form and offset. A text is probed only every STEP
characters: any SHORTEST consecutive characters contain a whole gram that starts at a probed place. A match is then
extended in both directions. There are as many tokens as sites, so only every 2^n-th of their grams is indexed. As STEP
is odd, a match of 2^n * STEP + GRAM characters still contains one of them.

Secrets shorter than SHORTEST would match half of a log. They are hidden only where a credential is expected, such as in
a URL. A secret that is a plain word ("postgres") is hidden in errors and logs, but not in posts and tables.
"""

import html
import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Collection, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from blogworker.escapes import Span, unescaped_layers

HIDDEN = "[secret]"
SHORTEST = 8  # characters; a shorter secret is not hidden by its value
PIECE = 12  # consecutive characters of a longer secret that are hidden
GRAM = 4
STEP = SHORTEST - GRAM + 1
LONGEST_WORD = 15
REPLACED_MAX = 1_000  # replaced tokens that are still hidden, because a late response may echo one
DEEPEST = 32
MOST_ESCAPES = 4  # levels: JSON in JSON, in a repr, in a log
SHOWN_HEAD, SHOWN_TAIL = 3, 4  # characters of a masked key that a provider shows

# Characters not percent-encoded in a path, in queries by the common clients, by JavaScript, and by the strictest.
UNQUOTED = ("/", "/!$&'()*+,;=:@", "/!$&'()*+,;=:@?", "!'()*", "")

# The key is a substring of every match: most texts lack it and need no search.
SHAPES = {
    mark: re.compile(shape)
    for mark, shape in (
        ("Bearer", r"Bearer\s+\S+"),
        ("bearer", r"bearer\s+(?=\S*\d)\S{8,}"),  # "bearer" may also be an English word
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


class Redactor:
    """Hides the secrets that it has learned."""

    def __init__(self) -> None:
        self._grams: dict[str, dict[tuple[str, int], None]] = {}  # gram -> forms that contain it, with the offset
        self._words: set[str] = set()
        self._secrets: set[str] = set()
        self._tokens: dict[str, tuple[str, ...]] = {}  # token -> its forms
        self._replaced: dict[str, None] = {}  # tokens, oldest first

    def learn(self, secret: str) -> None:
        """Hide this secret from now on."""
        if secret in self._secrets or not _hideable(secret):
            return
        self._secrets.add(secret)
        for form in forms(secret) | set(_in_hex(secret.encode(errors="surrogatepass"))):
            self._add(form, 1)
            if len(secret) <= LONGEST_WORD and WORD.fullmatch(secret):
                self._words.add(form)

    def learn_token(self, token: str) -> None:
        """Hide this token until it is forgotten."""
        self._replaced.pop(token, None)
        if token in self._secrets or token in self._tokens or not _hideable(token):
            return
        self._tokens[token] = tuple(forms(token))
        for form in self._tokens[token]:
            self._add(form, _stride(form))

    def forget_token(self, token: str) -> None:
        """Mark a token as replaced. It stays hidden until REPLACED_MAX other tokens are replaced."""
        if token not in self._tokens:
            return
        self._replaced[token] = None
        if len(self._replaced) > REPLACED_MAX:
            oldest = next(iter(self._replaced))
            del self._replaced[oldest]
            for form in self._tokens.pop(oldest):
                self._remove(form, _stride(form))

    def clear(self) -> None:
        """Forget everything; used between tests."""
        for known in (self._grams, self._words, self._secrets, self._tokens, self._replaced):
            known.clear()

    def hide(self, text: str, *, shapes: bool = True, words: bool = True) -> str:
        """Hide the secrets in a text. `shapes`: also what looks like one; `words`: also those that are plain words."""
        if len(text) < SHORTEST:
            return text
        spans = [*_shaped(text)] if shapes else []
        if self._grams:
            spans += [*self._found(text, words=words, hidden=spans), *self._escaped(text, words=words, hidden=spans)]
        return _without(text, spans)

    def hide_all(self, value: Any, *, shapes: bool = True, words: bool = True, level: int = 0) -> Any:
        """Hide secrets in every string of a value, at any depth. Another object that shows a secret becomes text."""
        match value:
            case str():
                return self.hide(value, shapes=shapes, words=words)
            case None | bool() | int() | float():
                return value
            case Mapping() | list() | tuple() | set() | frozenset() if level < DEEPEST:
                return self._hide_within(value, shapes=shapes, words=words, level=level + 1)
            case _:
                shown = str(value)
                leaks = any(self.hide(form, shapes=shapes, words=words) != form for form in (shown, repr(value)))
                return self.hide(shown, shapes=shapes, words=words) if leaks else value

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

    def _escaped(self, text: str, *, words: bool, hidden: Collection[Span]) -> list[Span]:
        """Return where the text has secrets that are escaped, once or several times."""
        spans: list[Span] = []
        for layer in unescaped_layers(text, MOST_ESCAPES):
            skipped = [layer.inside(span) for span in hidden]
            spans += map(layer.source, self._found(layer.text, words=words, hidden=skipped))
        return spans

    def _found(self, text: str, *, words: bool, hidden: Collection[Span]) -> Iterator[Span]:
        yield from self._stretches(text, words=words, hidden=hidden)
        if words:
            yield from self._masked(text)

    def _stretches(self, text: str, *, words: bool, hidden: Collection[Span]) -> Iterator[Span]:
        """Yield what the text has in common with known forms. Spans in `hidden` are skipped: there, thousands of
        tokens with the same beginning would be compared."""
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
        """Yield masked keys: their first and last characters, with stars or dots between."""
        if not ("**" in text or ".." in text or "…" in text or "••" in text):  # faster than the pattern
            return
        for mask in MASK.finditer(text):
            begin, end = mask.span()
            for secret in self._secrets:
                head, tail = _shown_before(secret, text, begin), _shown_after(secret, text, end)
                if head or tail:
                    yield begin - head, end + tail


SECRETS = Redactor()


def forms(secret: str) -> set[str]:
    """Return the forms in which a secret may appear in a text: unchanged, escaped, encoded."""
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
    # Unescaping a text also changes parts of a secret that only look like an escape.
    unescaped = {layer.text for layer in unescaped_layers(secret, MOST_ESCAPES)}
    found = {secret, *unescaped, " ".join(secret.split())} | escaped | quoted | set(_in_base64(raw))
    return {form for form in found if _hideable(form)}


def _in_base64(raw: bytes) -> Iterator[str]:
    """Yield the base64 characters that do not depend on the bytes around the secret, for each of three alignments."""
    for before in range(3):
        begin, end = -(-before * 4 // 3), (before + len(raw)) * 8 // 6
        for encode in (b64encode, urlsafe_b64encode):
            yield encode(bytes(before) + raw).decode()[begin:end]


def _in_hex(raw: bytes) -> Iterator[str]:
    """Yield hex dumps, and all characters percent-encoded. Not used for tokens, because there are many."""
    for form in (raw.hex(), raw.hex(" "), raw.hex(":"), "".join(f"%{byte:02x}" for byte in raw)):
        yield form
        yield form.upper()


def _hideable(secret: str) -> bool:
    return len(secret.strip()) >= SHORTEST


def _stride(form: str) -> int:
    """Return the distance between indexed grams of a token: the largest power of two that cannot miss a whole token."""
    stride = 1
    while 2 * stride * STEP + GRAM <= len(form):
        stride *= 2
    return stride


def _extended(text: str, at: int, form: str, offset: int) -> Span:
    """Return the longest span around a matching gram that text and form have in common."""
    begin, end = at, at + GRAM
    shift = offset - at
    while begin > 0 and begin + shift > 0 and text[begin - 1] == form[begin + shift - 1]:
        begin -= 1
    while end < len(text) and end + shift < len(form) and text[end] == form[end + shift]:
        end += 1
    return begin, end


def _shown_before(secret: str, text: str, end: int) -> int:
    """Return how many first characters of the secret end at `end`; 0 if too few to identify it."""
    if secret[:SHOWN_HEAD] not in text[max(0, end - len(secret)) : end]:
        return 0
    lengths = range(min(len(secret), end), SHOWN_HEAD - 1, -1)
    return next((length for length in lengths if text[end - length : end] == secret[:length]), 0)


def _shown_after(secret: str, text: str, begin: int) -> int:
    """Return how many last characters of the secret start at `begin`; 0 if too few to identify it."""
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
    if not spans:
        return text
    parts, at = [], 0
    for begin, end in _merged(spans):
        parts += [text[at:begin], HIDDEN]
        at = end
    return "".join([*parts, text[at:]])


def _merged(spans: list[Span]) -> Iterator[Span]:
    """Yield the spans in order, with adjacent and overlapping spans joined."""
    begin, end = -1, -1
    for first, last in sorted(spans):
        if first > end:
            if end >= 0:
                yield begin, end
            begin, end = first, last
        end = max(end, last)
    if end >= 0:
        yield begin, end
