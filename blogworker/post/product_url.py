"""The URL template of a site's product pages, such as `https://shop.example/product-page/{handle}`."""

import re
import unicodedata
from collections.abc import Mapping
from ipaddress import IPv6Address
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urlsplit

from blogworker.post.plain import SLUG_LIMIT, slug

PLACEHOLDERS = {  # placeholder -> names of its field in producers' data, the most reliable first, in lower case
    "handle": ("handle", "slug", "url_handle"),
    "id": ("id", "product_id"),
    "sku": ("sku", "variant_sku"),
}
KNOWN = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
EXAMPLE = "write it as https://shop.example/product-page/{handle}"
NO_ADDRESS = "the source has no url and the site no --product-url"
PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
LONGEST, LONGEST_VALUE = 500, 200
RESERVED = "/:?#[]@!$&'()*+,;=%~"  # allowed in a template, but encoded in a value
UNSAFE = re.compile(r"[\s<>\"\\^`|]")
HOST = re.compile(r"localhost|(?:(?!-)[a-z0-9_-]{1,63}(?<!-)\.)+(?!-)[a-z0-9-]{1,63}(?<!-)")
PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
ENCODED = re.compile(r"[\w.~-]*%[0-9A-F]{2}(?:[\w.~-]|%[0-9A-F]{2})*", re.A | re.I)
APOSTROPHE = re.compile("['\u2019]")  # some shops write a hyphen for it, others nothing
PAGE_HANDLE = re.compile(r"[^\W_]+(?:-+[^\W_]+)*")  # as shops derive it from a name
WIX_ID = re.compile(
    r"product_[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.I
)  # in Wix's older export; no address has it


def checked_template(text: str) -> str:
    """Return the template, percent-encoded. Raises ValueError with a message that does not quote the template."""
    text = text.strip()
    if len(text) > LONGEST:
        raise ValueError(f"has more than {LONGEST} characters")
    if any(unicodedata.category(character)[0] == "C" for character in text):
        raise ValueError("contains a control or invisible character")
    if UNSAFE.search(text) or PERCENT.search(text):
        raise ValueError(f"contains a space or another character that is not allowed in an address: {EXAMPLE}")
    try:
        parts = urlsplit(text)
        if "@" in parts.netloc:
            raise _InvalidHost("contains a user name or a password: remove the part before the @")
        if "{" in parts.netloc or "}" in parts.netloc:
            raise _InvalidHost("has a placeholder in its host: all products are on one host")
        origin = _origin(parts)
    except _InvalidHost:
        raise
    except ValueError:
        raise ValueError(f"is not a web address: {EXAMPLE}") from None
    rest = text[len(f"{parts.scheme}://{parts.netloc}") :]
    _check_placeholders(rest)
    return origin + quote(rest, safe=f"{RESERVED}{{}}")


class _InvalidHost(ValueError):
    pass


def _origin(parts: SplitResult) -> str:
    """Return scheme, host and port as browsers send them. Raises ValueError."""
    host, port = (parts.hostname or "").removesuffix("."), parts.port
    if not host.isascii():
        raise _InvalidHost("has a host that is not ASCII: write it as browsers send it, xn--...")
    if ":" in host:
        host = f"[{IPv6Address(host)}]"
    if parts.scheme not in ("http", "https") or not (host.startswith("[") or HOST.fullmatch(host)):
        raise ValueError("not a web address")
    return f"{parts.scheme}://{host}" if port is None else f"{parts.scheme}://{host}:{port}"


def _check_placeholders(text: str) -> None:
    names = PLACEHOLDER.findall(text)
    if unknown := [name for name in names if name not in PLACEHOLDERS]:
        raise ValueError(f"has the unknown placeholder {{{unknown[0][:40]}}}; known are {KNOWN}")
    if re.search("[{}]", PLACEHOLDER.sub("", text)):
        raise ValueError(f"has a brace outside of a placeholder; known are {KNOWN}")
    if not names:
        raise ValueError(f"has no placeholder, so all products would have the same address: add {KNOWN}")


def filled(template: str, product: Mapping[str, Any], source_id: str | None) -> tuple[str, str]:
    """Return the address of a product's page, or the reason why it has none; the other one is empty. `product` is its
    source_data with keys in lower case."""
    values: dict[str, str] = {}
    for name in dict.fromkeys(PLACEHOLDER.findall(template)):
        value = _value(product, name) or (_text(source_id) if name == "id" else "")
        if ENCODED.fullmatch(value):
            value = unquote(value)
        if not value:
            return "", f"the product has no {name} for the site's --product-url"
        if fault := _fault(name, value):
            return "", f"the product's {name} {fault}"
        values[name] = quote(value, safe="~")
    return PLACEHOLDER.sub(lambda match: values[match[1]], template), ""


def _fault(name: str, value: str) -> str:
    if len(value) > LONGEST_VALUE or any(unicodedata.category(character)[0] == "C" for character in value):
        return "cannot be part of an address"
    if not value.strip("."):
        return "would lead to another page"  # `..`
    if name == "handle" and WIX_ID.fullmatch(value):
        return "is an id of Wix, which is not part of its address"
    return ""


def learnt(url: object, handle: object) -> str | None:
    """Return the template that produces this address of a product, if there is one."""
    if not isinstance(url, str) or not isinstance(handle, str) or not PAGE_HANDLE.fullmatch(handle):
        return None
    start, slash, last = url.rpartition("/")
    if not slash or unquote(last) != unquote(handle):
        return None
    try:
        return checked_template(f"{start}/{{handle}}")
    except ValueError:
        return None


def for_learnt(product: Mapping[str, Any], *, name: str) -> bool:
    """Whether a learnt template applies to this product: its handle must consist of words of its name, as shops derive
    it, perhaps with a number. A producer's own number, or a handle of another shop, would give a dead link."""
    handle = _value(product, "handle")
    words = [word for word in slug(handle).split("-") if not word.isdigit()]
    spellings = [(text, language) for text in (name, APOSTROPHE.sub("", name)) for language in (None, "de")]
    slugs = (slug(text, language=language, limit=10 * SLUG_LIMIT) for text, language in spellings)
    made_of = {word for each in slugs for word in each.split("-")}
    return PAGE_HANDLE.fullmatch(handle) is not None and bool(words) and set(words) <= made_of


def page_of(source: Mapping[str, Any]) -> str | None:
    """Return the address that posts about this product link to, or why there is none. None if it is not a product."""
    if source.get("kind") != "product":
        return None
    return str(source.get("url") or f"no link: {source.get('no_link') or NO_ADDRESS}")


def _value(product: Mapping[str, Any], name: str) -> str:
    return next((value for word in PLACEHOLDERS[name] if (value := _text(product.get(word)))), "")


def _text(value: object) -> str:
    known = isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))
    return str(value).strip() if known else ""
