"""Unexpected provider answers: recorded ones, changed at random places, reproducible by seed."""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from random import Random
from typing import Any

RAW = {  # what JSON text may hold and json.dumps does not write
    "@nan@": "NaN",
    "@inf@": "-Infinity",
    "@digits@": "9" * 5_000,
    "@exponent@": "1e99999",
    "@deep@": "[" * 900 + "]" * 900,
    "@open@": '{"a":' * 100_000,
    "@half@": r'"\ud800"',
    "@control@": '"a\nb\0"',
}
VALUES: list[Any] = [
    *(None, "", [], {}, 0, -1, 1, 1.5, True, False, 10**14, -(10**30), 1e308, "x", "unknown_value", "5", " ", "\0"),
    *(
        [None],
        [[]],
        [[["a"]]],
        {"a": None},
        {"": ""},
        "é" * 300,
        "a" * 5_000,
        "null",
        "completed",
        "succeeded",
        "failed",
    ),
    *("data:image/png;base64,AAAA", "http://[", "https://x.example/a b", "ftp://x", "//x", "٣", "\u202e", 400, "429"),
    *RAW,
]
BYTES = [b"", b"\0", b"\xff\xfe", b"\xef\xbb\xbf{}", b"null", b"[]", b'"x"', b"<html>502</html>", b"{", b"1",
         b"\x1f\x8b", b'{"id":1,"id":"2"}', b"[" * 100_000, b'{"\\ud800":1}', b"NaN"]  # fmt: skip
HEADERS = ["", "0", "-5", "1.5", "5, 60", "nan", "inf", "1e400", "9" * 5_000, "٣", "²", "1_000", "soon", "1;2", "0x10",
           "Fri, 31 Dec 99999 23:59:59 GMT", "Fri, 31 Dec 9999 23:59:59 -2359", "Mon, 01 Jan 0001 00:00:00 +2359",
           "Mon, 32 Foo 2026 99:99:99", "Mon", ",", ", ,", "1 2 3 4 5", "6m0s", "9" * 90 + "h", "1h" * 60, "-1s", "\0",
           "é", "99999999999999999999", "-0", "Thu, 26 Nov 2026 23:00:00", "GMT", "(", "Mon, 1 Jan (",
           "1s1s"]  # fmt: skip
NAMES = [
    *("retry-after", "retry-after-ms", "date", "x-request-id", "x-wix-request-id"),
    *(f"x-ratelimit-{fact}-{kind}" for fact in ("limit", "remaining", "reset") for kind in
      ("requests", "tokens", "project-tokens")),
]  # fmt: skip
SAID = ["Please try again in 41.7s", "resets in ~" + "9" * 5_000 + "s", "try again in 9999999999 days", "Requested " +
        "9" * 4_000, "9999999 requests per minute", "retry after ٣ seconds", "Request too large"]  # fmt: skip


def bodies(templates: list[Any], *, count: int, seed: int) -> Iterator[tuple[bytes, Random]]:
    """`count` bodies, and the chance that made each, for whatever else goes with it."""
    chance = Random(seed)
    written = [json.dumps(template) for template in templates]
    for _ in range(count):
        yield _body(json.loads(chance.choice(written)), chance), chance


def _body(answer: Any, chance: Random) -> bytes:
    if chance.random() < 0.04:
        return chance.choice(BYTES)
    for _ in range(chance.choice((0, 1, 1, 2, 4))):
        answer = _changed(answer, chance)
    text = json.dumps(answer)
    if "@" in text:
        for name, raw in RAW.items():
            text = text.replace(f'"{name}"', raw)
    body = text.encode(errors="surrogatepass")
    match chance.randrange(20):
        case 0:
            return body[: chance.randrange(len(body))]
        case 1:
            place = chance.randrange(len(body))
            return body[:place] + chance.randbytes(3) + body[place:]
    return body


def _changed(value: Any, chance: Random) -> Any:
    """The value with something else at one place in it."""
    at, path = value, []
    while isinstance(at, dict | list) and at and (not path or chance.random() < 0.75):
        name = chance.choice(list(at)) if isinstance(at, dict) else chance.randrange(len(at))
        path.append((at, name))
        at = at[name]
    if not path:
        return deepcopy(chance.choice(VALUES))
    holder, name = path[-1]
    match chance.randrange(5):
        case 0:
            del holder[name]
        case 1:
            holder[name] = [holder[name], holder[name]]
        case 2:
            holder[name] = {"value": holder[name]}
        case _:
            holder[name] = deepcopy(chance.choice(SAID if name in ("message", "detail") else VALUES))
    return value


def headers(chance: Random) -> dict[str, str]:
    return {chance.choice(NAMES): chance.choice(HEADERS) for _ in range(chance.randrange(4))}


def outcome(act: Callable[[], Any], expected: type[Exception]) -> Any:
    """What an act gives, or the expected error that it raises. Any other exception fails the test."""
    try:
        return act()
    except expected as error:
        return error
