"""No configured secret appears in a text, in any form of echo, and other text stays unchanged."""

import html
import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterable
from hashlib import sha256
from itertools import product
from time import process_time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from blogworker.errors import BlogworkerError, ProviderError
from blogworker.redact import HIDDEN, PIECE, REPLACED_MAX, SHORTEST, Redactor
from blogworker.section import Section, learn_secrets
from blogworker.settings import DatabaseSettings, OpenAISettings, ReplicateSettings, WixSettings

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
VISIBLE = st.characters(min_codepoint=33, max_codepoint=126)
SECRET = (
    st.text(st.characters(exclude_categories=["Cs"]), min_size=SHORTEST, max_size=200)
    | st.text(VISIBLE, min_size=SHORTEST, max_size=200)
    | st.from_regex(r"[A-Za-z0-9_-]{8,60}", fullmatch=True)
    | st.text(st.sampled_from("ab\\'\"/%+<&é .*"), min_size=SHORTEST, max_size=40)
).filter(lambda secret: len(secret.strip()) >= SHORTEST and secret not in HIDDEN)
FEW = settings(max_examples=30)  # each tries many forms
ECHOES: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "on one line": lambda secret: " ".join(secret.split()),
    "in JSON": json.dumps,
    "in JSON in Unicode": lambda secret: json.dumps(secret, ensure_ascii=False),
    "in JSON of PHP": lambda secret: json.dumps(secret).replace("/", r"\/"),
    "in JSON within JSON": lambda secret: json.dumps(json.dumps({"key": secret})),
    "in a repr": repr,
    "in the repr of an error": lambda secret: repr(ValueError(f'it\'s "{secret}"')),
    "in the repr of bytes": lambda secret: repr(secret.encode()),
    "in ASCII": ascii,
    "in HTML": html.escape,
    "in HTML with decimal references": lambda secret: html.escape(secret).replace("&#x27;", "&#39;"),
    "in a path": quote,
    "in a query": quote_plus,
    "quoted wholly": lambda secret: quote(secret, safe=""),
    "quoted in lower case": lambda secret: re.sub("%..", lambda found: found[0].lower(), quote(secret, safe="")),
    "as JavaScript quotes": lambda secret: quote(secret, safe="!'()*"),
    "quoted in all its characters": lambda secret: "".join(f"%{byte:02X}" for byte in secret.encode()),
    "in hex": lambda secret: secret.encode().hex(),
    "in hex in capitals": lambda secret: secret.encode().hex().upper(),
    "in hex with blanks": lambda secret: secret.encode().hex(" "),
    "in hex with colons": lambda secret: secret.encode().hex(":").upper(),
}


def redactor(*secrets: str) -> Redactor:
    made = Redactor()
    for secret in secrets:
        made.learn(secret)
    return made


def mixed(secret: str) -> str:
    """Each sign in the next of several ways."""
    ways: list[Callable[[str], str]] = [
        str,
        "&#{0};".format,
        "&#x{0:x};".format,
        "\\u{{{0:x}}}".format,
        "%{0:02x}".format,
    ]
    return "".join(ways[at % 5](sign if at % 5 == 0 else ord(sign)) for at, sign in enumerate(secret))


ESCAPES: dict[str, Callable[[str], str]] = {
    "HTML in ASCII": lambda secret: html.escape(secret).encode("ascii", "xmlcharrefreplace").decode(),
    "HTML, all of it": lambda secret: "".join(f"&#{ord(sign)};" for sign in secret),
    "HTML, hexadecimal": lambda secret: "".join(f"&#x{ord(sign):X};" for sign in secret),
    "HTML by name": lambda secret: html.escape(secret).replace("/", "&sol;").replace("+", "&plus;"),
    "JSON": lambda secret: json.dumps(secret)[1:-1],
    "JSON for pages": lambda secret: re.sub("[<>&'/]", lambda sign: rf"\u{ord(sign[0]):04x}", json.dumps(secret)[1:-1]),
    "JSON, all of it": lambda secret: re.sub("(?s).", lambda sign: rf"\u{ord(sign[0]):04X}", secret),
    "a URL, all of it": lambda secret: "".join(f"%{byte:02x}" for byte in secret.encode()),
}


WAYS = {**ESCAPES, "mixed": mixed, **{name: ECHOES[name] for name in ("in HTML", "quoted wholly", "in a path")}}


def shown_after(secret: str, names: Iterable[str]) -> str:
    """What is shown of a secret that went through these escapes, one after the other."""
    encoded = secret
    for name in names:
        encoded = WAYS[name](encoded)
    return redactor(secret).hide(f"key <{encoded}> is wrong", shapes=False)


@FEW
@given(
    st.text(VISIBLE, min_size=SHORTEST, max_size=60), st.lists(st.sampled_from(sorted(WAYS)), min_size=1, max_size=3)
)
def test_a_known_secret_is_hidden_however_it_is_escaped(secret: str, names: list[str]) -> None:
    """Each program has its own idea of which characters to escape, and a text goes through several."""
    assert shown_after(secret, names) == f"key <{HIDDEN}> is wrong"


@pytest.mark.parametrize("secret", ["00000000", "\\" * 8, "%25" * 3, "%&{\\;\\\\0", "#0}&0&0\\ux%\\}\\0}\\\\0{%{x"])
def test_escapes_that_touch_are_undone_in_order(secret: str) -> None:
    """A backslash that HTML had escaped, before one that JSON had doubled, was taken for a part of that one."""
    for names in [*product(WAYS, repeat=2), *product(["mixed"], WAYS, WAYS)]:
        assert shown_after(secret, names) == f"key <{HIDDEN}> is wrong", names


@pytest.mark.parametrize("count", [300, 100_000])
@pytest.mark.parametrize("escapes", ["\\\\", "%25", "&amp;", "\\u0041", "\\\\&#38;%2525"])
def test_a_text_of_only_escapes_is_scanned_quickly(escapes: str, count: int) -> None:
    """The loop waits meanwhile, and a worker that is silent for too long loses its jobs."""
    text = escapes * count
    begun = process_time()

    shown = redactor("hunter2-of-no-shape").hide(f"hunter2%2Dof-no-shape {text} hunter2-of-no-shape")

    assert process_time() - begun < 2
    assert shown == f"{HIDDEN} {text} {HIDDEN}"


@FEW
@given(SECRET, TEXT, TEXT)
def test_a_known_secret_is_hidden_in_every_form(secret: str, before: str, after: str) -> None:
    """A provider echoes what it was sent, and a log may escape it once more."""
    hide = redactor(secret).hide

    for name, echo in ECHOES.items():
        encoded = echo(secret)
        core = encoded if encoded[:1] not in "\"'" else encoded[1:-1]
        assume(len(core.strip()) >= SHORTEST)

        assert core not in hide(f"{before}{encoded}{after}").replace(HIDDEN, "\0"), name


@FEW
@given(SECRET, st.binary(max_size=5), st.binary(max_size=5))
def test_a_known_secret_is_hidden_in_base64(secret: str, before: bytes, after: bytes) -> None:
    """As in a header of basic authentication: the user's name before it moves all of its characters."""
    for encode in (b64encode, urlsafe_b64encode):
        encoded = encode(before + secret.encode() + after).decode()
        shown = redactor(secret).hide(f"Authorization: {encoded}.", shapes=False)

        assert HIDDEN in shown
        assert len(shown.replace(HIDDEN, "")) <= len("Authorization: .") + 4 * (len(before) + len(after) + 5) / 3 + 4


@FEW
@given(st.from_regex(r"[A-Za-z0-9_-]{32,80}", fullmatch=True), st.data())
def test_no_piece_of_a_secret_is_shown(secret: str, data: st.DataObject) -> None:
    """A provider, a driver or a log cuts a message where it likes."""
    begin = data.draw(st.integers(0, len(secret) - PIECE))
    end = data.draw(st.integers(begin + PIECE, len(secret)))

    hide = redactor(secret).hide

    assert hide(f"key {secret[begin:end]}: wrong") == f"key {HIDDEN}: wrong"
    assert hide(f"key {secret[begin:end].encode().hex()}: wrong") == f"key {HIDDEN}: wrong"


@FEW
@given(st.from_regex(r"[A-Za-z0-9_-]{20,80}", fullmatch=True), st.integers(3, 11), st.integers(4, 9))
def test_a_secret_shown_in_part_is_hidden(secret: str, head: int, tail: int) -> None:
    """As providers print a key that is wrong: its first and last characters."""
    for mask in ("...", "****************", "…", "••••"):
        shown = redactor(secret).hide(f"Incorrect key provided: {secret[:head]}{mask}{secret[-tail:]}.")

        assert secret[-tail:] not in shown
        assert shown.startswith("Incorrect key provided: ")


@FEW
@given(SECRET, TEXT)
def test_a_text_without_a_secret_is_not_changed(secret: str, text: str) -> None:
    known = redactor(secret)
    assume(HIDDEN not in text)
    shared = {secret[at : at + 3] for at in range(len(secret) - 2)}
    assume(not any(part in text for part in shared))
    assume(not any(mark in text for mark in ("..", "**", "…", "••")))

    assert known.hide(text, shapes=False) == text


@FEW
@given(st.lists(SECRET, min_size=2, max_size=4))
def test_secrets_side_by_side_are_all_hidden(secrets: list[str]) -> None:
    shown = redactor(*secrets).hide("".join(secrets))

    assert not any(secret in shown.replace(HIDDEN, "\0") for secret in secrets)


@pytest.mark.parametrize(
    "text",
    [
        "Incorrect API key provided: sk-proj-abc123DEF456",
        "Incorrect API key provided: sk-proj-****************3456",
        "the token r8_abcdef was refused",
        "Authorization: Bearer abc123DEF456",
        "authorization: bearer abc123DEF456",
        "proxy-authorization: Basic abc123DEF456==",
        "cannot reach postgresql://shop:abc123DEF456@db.example/blog",
        "host=db user=shop password=abc123DEF456 dbname=blog",
        "GET /feed?access_token=abc123DEF456&page=1",
        "OauthNG.JWS.abc123DEF456",
    ],
)
def test_anything_like_a_secret_is_hidden(text: str) -> None:
    """Another person's key, or an old one, which is not in the settings."""
    shown = Redactor().hide(text)

    assert HIDDEN in shown
    assert not re.search("abc123|DEF|3456|r8_", shown)


def test_a_short_secret_is_hidden_only_in_the_place_of_a_credential() -> None:
    """Hiding a password of three characters would blank out half of a log."""
    known = redactor("blo", "        ")

    assert known.hide("the blogs of postgresql://shop:blo@db") == f"the blogs of postgresql://shop:{HIDDEN}@db"
    assert known.hide("        indented") == "        indented"


def test_a_secret_that_is_a_word_is_hidden_in_errors_and_kept_in_posts() -> None:
    """Where the password is `postgres`, a post of a bookshop on Postgres may still be written."""
    known = redactor("postgres")

    assert known.hide("password postgres is wrong") == f"password {HIDDEN} is wrong"
    for text in ("Learn postgres in a day", "And then...postgres", "The standard bearer of the shop"):
        assert known.hide(text, shapes=False, words=False) == text


def test_values_of_any_shape_are_cleaned_at_any_depth() -> None:
    known = redactor("k3y-of-the-shop!")
    deep: object = "a k3y-of-the-shop!"
    for _ in range(50):
        deep = [deep]

    cleaned = known.hide_all(
        {
            "k3y-of-the-shop!": ("x", {"y": ["k3y-of-the-shop!"]}, {"k3y-of-the-shop!"}),
            "error": ValueError("k3y-of-the-shop!"),
            "bytes": b"k3y-of-the-shop!",
            "deep": deep,
            "count": 7,
        }
    )

    assert "k3y-of-the-shop!" not in repr(cleaned)
    assert cleaned["count"] == 7


@FEW
@given(st.lists(st.text(VISIBLE, min_size=SHORTEST, max_size=400), min_size=1, max_size=4, unique=True))
def test_a_token_is_hidden_as_soon_as_it_arrives(tokens: list[str]) -> None:
    """There are as many tokens as sites, and only part of each is indexed."""
    known = Redactor()
    for token in tokens:
        known.learn_token(token)

    for token in tokens:
        assert token not in known.hide(f'{{"message": {token}}}').replace(HIDDEN, "\0")
        assert HIDDEN in known.hide(b64encode(b"app:" + token.encode()).decode())


def test_a_replaced_token_is_hidden_for_a_while_and_then_forgotten() -> None:
    """An answer may echo a token after it was replaced; memory must not grow without limit."""
    first, *others = (sha256(bytes([number % 256, number // 256])).hexdigest() for number in range(REPLACED_MAX + 1))
    known = Redactor()
    known.learn_token(first)
    known.forget_token(first)
    assert known.hide(first) == HIDDEN

    for other in others:
        known.learn_token(other)
        known.forget_token(other)

    assert known.hide(first) == first
    assert known.hide(others[0]) == HIDDEN


def test_every_secret_of_the_settings_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if another setting of the section is not valid, and the section is refused."""
    monkeypatch.setenv("OPENAI_API_KEY", "k3y|of(openai")
    monkeypatch.setenv("OPENAI_RPM", "none")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://me:p%40ssw0rd-1@gate.example/v1")
    monkeypatch.setenv("HTTPS_PROXY", "http://me:p%40ssw0rd-2@proxy.example:3128")
    monkeypatch.setenv("DATABASE_URL", "postgresql://shop:p%40ssw0rd-3@db/blog?sslpassword=p%40ssw0rd-4")
    monkeypatch.setenv("DATABASE_DIRECT_URL", "postgresql://shop:pa/ss@word-5@db:x/blog")

    learn_secrets([OpenAISettings, DatabaseSettings])
    WixSettings(app_id="app-of-the-shop", app_secret=SecretStr("s3cret of wix"[:12].replace(" ", "-")), _env_file=None)
    ReplicateSettings(api_token="t0ken-of-replicate", _env_file=None)  # noqa: S106

    secrets = ["k3y|of(openai", *(f"p@ssw0rd-{n}" for n in range(1, 5)), "p%40ssw0rd-3", "pa/ss@word-5"]
    for secret in [*secrets, "s3cret-of-wi", "t0ken-of-replicate"]:
        assert str(BlogworkerError(f"<{secret}>")) == f"<{HIDDEN}>", secret
    assert str(BlogworkerError("app-of-the-shop")) == "app-of-the-shop"  # an id, which every owner of a site sees


def test_every_secret_field_is_registered() -> None:
    class Later(Section):
        """A room that is added."""

        new_key: SecretStr | None = None

    Later(new_key="a-new-k3y", _env_file=None)

    assert str(BlogworkerError("a-new-k3y")) == HIDDEN


def test_a_password_equal_to_the_user_name_does_not_hide_the_name() -> None:
    """As on many a developer's machine: the name is in every message of the server."""
    DatabaseSettings(url="postgresql://developer:developer@localhost/blog", _env_file=None)

    assert str(BlogworkerError('role "developer" does not exist')) == 'role "developer" does not exist'


@FEW
@given(st.text(VISIBLE, min_size=SHORTEST, max_size=80))
@example("postgresql://")
@example("host=key-of-one-word")
@example("postgresql://user@host/name-of-a-key")
def test_no_part_of_a_provider_error_contains_a_key(key: str) -> None:
    """Its code and its request id are the provider's words as well, and columns of their own."""
    OpenAISettings(api_key=key, _env_file=None)

    error = ProviderError(f"no {key}", provider="openai", status=401, code=f"bad_{key}", request_id=f"req-{key}")

    shown = f"{error} {error!r} {error.args} {error.facts()}".replace(HIDDEN, "\0")
    assert key not in shown
    assert json.dumps(key)[1:-1] not in shown


def test_an_error_code_can_be_a_number() -> None:
    """Some providers number their errors."""
    assert ProviderError("no", provider="openai", code=429).code == "429"  # type: ignore[arg-type]
