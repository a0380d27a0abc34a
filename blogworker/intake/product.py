"""One product of an export, collected from its rows."""

import re
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from blogworker.intake import identifiers, visibility
from blogworker.intake.cells import ERROR
from blogworker.intake.money import Point
from blogworker.intake.offers import CHOICE_LONGEST, Offers, written
from blogworker.intake.properties import PROPERTIES
from blogworker.intake.table import BadCell
from blogworker.product import DETAILS_MAX, IMAGES_MAX, OPTIONS_MAX, VALUES_MAX, Detail, Image, Option, Product
from blogworker.readable import readable, shortened

AGREED = ("name", "description", "vendor", "product_type", "url")  # rows that differ in these are different products
AGREED_IN_GROUP = ("vendor",)  # variants in feeds have their own name and URL
OF_A_VARIANT = frozenset({"variant", "media"})  # kinds of Wix rows that do not state the product's visibility
DESCRIPTION_MAX = 12_000  # characters; even at four bytes each they fit into source_data with the other fields
SECTIONS = range(1, 7)  # texts with a title, beside the description, in exports of Wix
NOTES = ("ribbon", "customization")
COLUMNS = {
    "ribbon": ("ribbon",),  # Wix: the label on the product's picture
    "customization": (
        "customtextfield1",
        "personalizationoptiontitle1",
    ),  # Wix: the text that a buyer may have printed on it
    "image_alt": ("imagealttext", "mediaalttext", "imagealt", "alttext"),
    **{f"section_title_{n}": (f"additionalinfotitle{n}",) for n in SECTIONS},
    **{f"section_{n}": (f"additionalinfodescription{n}",) for n in SECTIONS},
}
SINGLE = (*AGREED, *NOTES, "tags", "currency", "sku", *(name for name in COLUMNS if name.startswith("section")))
PARTS_MAX, PART_LONGEST = 24, 80
MEASURES_MAX = 4  # of one name
SEPARATORS = re.compile(r";|(?<![,\s])[,\s]++(?=https?://)")
WIX_MEDIA = "https://static.wixstatic.com/media/"
WIX_FILE = re.compile(r"[\w.-]+~mv2[\w.]*\.\w{2,5}")


class ProductRows:
    """One product, added row by row."""

    def __init__(
        self, line: int, handle: str, headers: Mapping[str, str], why_hidden: Callable[[Mapping[str, str]], str | None]
    ) -> None:
        self.line = line
        self.handle = handle
        self.headers = headers  # our name -> the header in the file
        self.has_fault = False
        self.values: dict[str, str] = {}  # the first value of each column that is not empty
        self._lines: dict[str, int] = {}  # the line of that value
        self._why_hidden = why_hidden
        self._hidden: list[str] = []  # why the variants are hidden that are left out
        self._has_visible_row = False
        self._offers = Offers()
        self._images: dict[str, str] = {}  # address -> alternative text
        self._variant_images: list[str] = []

    def add(self, line: int, cells: dict[str, str], point: Point | None) -> str | None:
        """Add a row. Return the fault if the row is bad."""
        kind = cells.get("kind", "").casefold()
        is_grouped = bool(cells.get("group"))
        states = () if is_grouped or kind in OF_A_VARIANT else visibility.COLUMNS
        agreed = (
            AGREED_IN_GROUP if is_grouped else (*AGREED, *(state for state in states if state in visibility.STATED))
        )
        if ERROR.fullmatch(name := cells.get("name", "")):
            bad = BadCell("name", name, "is an error of a spreadsheet: export the file again and enqueue it unchanged")
            return self._of_cell(bad)
        for name in (*SINGLE, *states):
            if not (cell := cells.get(name)):
                continue
            if name in agreed and cell.split() != self.values.get(name, cell).split():
                return self._contradiction(name, cell)
            self.values.setdefault(name, cell)
            self._lines.setdefault(name, line)
        try:
            if (is_grouped or kind == "variant") and (reason := self._why_hidden(cells)):
                self._hidden.append(reason)
                self._offers.hide(cells)
                return None
            self._has_visible_row = True
            self._offers.add(cells, point, of_product=kind == "product")
        except BadCell as error:
            return self._of_cell(error)
        for place, address in enumerate(_addresses(cells.get("image", ""))):
            alt = "" if place else cells.get("image_alt", "")  # describes the first picture
            self._images[address] = self._images.get(address) or alt
        self._variant_images += _addresses(cells.get("variant_image", ""))
        return None

    def _of_cell(self, error: BadCell) -> str:
        return f"product {self.handle!r:.60}: {error.message(self.headers)}"

    def why_hidden(self) -> str | None:
        """Return why the product is not visible in its shop, or None. Raises UnknownState."""
        return self._why_hidden(self.values) if self._has_visible_row else next(iter(self._hidden), None)

    def _contradiction(self, name: str, cell: str) -> str:
        header, before = self.headers.get(name, name), self.values[name]
        return (
            f"{header} {cell!r:.40} contradicts {before!r:.40} on line {self._lines[name]}: two products have "
            f"the identifier {self.handle!r:.60}; give each its own, and do not save exports with a spreadsheet"
        )

    def product(self) -> Product:
        values, offers = self.values, self._offers
        low, high = (min(offers.prices), max(offers.prices)) if offers.prices else (None, None)
        return Product(
            name=readable(values["name"], longest=500),
            description=self._description(),
            price=written(low),
            price_max=written(high) if high != low else "",
            compare_at_price=offers.compare_at,
            currency=values.get("currency") or offers.currency or "",
            availability=offers.availability,
            options=tuple(Option(one.name, one.values[:VALUES_MAX]) for one in offers.options[:OPTIONS_MAX]),
            variants=offers.variants,
            sku="" if identifiers.rewritten(values.get("sku", "")) else values.get("sku", ""),
            vendor=values.get("vendor", ""),
            categories=tuple(_parts(values.get("product_type", ""), ";")),
            tags=tuple(_parts(values.get("tags", ""), ",;")),
            details=tuple(self._details())[:DETAILS_MAX],
            images=tuple(self._pictures()[:IMAGES_MAX]),
            handle=self.handle,
            url=next(iter(_addresses(values.get("url", ""))), ""),
        )

    def _description(self) -> str:
        """Return the description with the sections of Wix. WooCommerce writes a line break as a backslash and an n."""
        text = self.values.get("description", "").replace("\\r\\n", "\n").replace("\\n", "\n")
        lines = [readable(text, longest=DESCRIPTION_MAX)]
        for number in SECTIONS:
            if section := readable(self.values.get(f"section_{number}", ""), longest=DESCRIPTION_MAX):
                title = readable(self.values.get(f"section_title_{number}", ""), longest=PART_LONGEST)
                lines.append(f"{title}: {section}" if title else section)
        return shortened("\n".join(filter(None, lines)), DESCRIPTION_MAX)

    def _details(self) -> list[Detail]:
        """Return the details. Variants state their own weight; other measures with a few values are listed."""
        options = {option.name.casefold() for option in self._offers.options}
        found = {name: values for name, values in self._offers.details.items() if name not in options}
        details = [
            Detail(name, ", ".join(values)[: 2 * CHOICE_LONGEST])
            for name, values in found.items()
            if len(values) == 1 or name in PROPERTIES or (name != "weight" and len(values) <= MEASURES_MAX)
        ]
        notes = [
            Detail(name, readable(text, longest=PART_LONGEST)) for name in NOTES if (text := self.values.get(name))
        ]
        return details + notes

    def _pictures(self) -> list[Image]:
        addresses = dict.fromkeys([*self._images, *self._variant_images])
        return [Image(url, readable(self._images.get(url, ""), longest=200)) for url in addresses]


def _parts(text: str, separators: str) -> list[str]:
    parts = (part.strip() for part in re.split(f"[{separators}]", text))
    return list(dict.fromkeys(part[:PART_LONGEST] for part in parts if part))[:PARTS_MAX]


def _addresses(cell: str) -> list[str]:
    """Return the URLs in a cell. Shops join several with semicolons, commas or spaces; Wix may write a file name."""
    parts = SEPARATORS.split(cell.replace("&amp;", "&"))
    whole = (WIX_MEDIA + part if WIX_FILE.fullmatch(part) else part for part in map(str.strip, parts))
    return list(dict.fromkeys(part for part in whole if _is_address(part)))


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not re.search(r"\s", text)
