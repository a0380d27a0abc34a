"""What a row of an export is: a product, or a part of one. Wix and BigCommerce state it in a column of its own.

WooCommerce states it in the column that Shopify calls `Type` too. There a merchant may write anything, also `Variant`,
so it is read only in files whose products have no handle, and only if each of its words is a type of a shop system.
"""

from blogworker.intake.rows import Skipped
from blogworker.intake.table import TableRow, spelled

COLUMNS = {
    "kind": ("fieldtype", "itemtype"),
    "type": ("type", "typ", "tipo"),
    "parent": ("parentid", "parentsku", "parentproductid", "parent"),
    "store_view": ("storeviewcode",),  # Magento repeats a product for each view of the shop that differs
    "group": ("itemgroupid",),  # of Google and Facebook: equal for all variants of a product
}
OF_ANOTHER = frozenset({"variation", "sku", "rule"})  # rows that have an identifier but are not products
TYPES = frozenset({  # of WooCommerce and Magento, which join several of them: `simple, virtual`
    "simple", "variable", "grouped", "external", "variation", "virtual", "downloadable", "configurable", "bundle",
    "subscription", "variable-subscription", "subscription_variation",
})  # fmt: skip
HANDLES = frozenset({"handle", "urlhandle"})  # how Shopify names its identifiers


def part(row: TableRow, current: str | None) -> Skipped | None:
    """Return a row that is not read because it is only a part of a product. `current`: the identifier above it."""
    if row.cells.get("store_view"):
        return Skipped(row.line, "a store view of a product", "store_view")
    is_child = bool(row.cells.get("parent")) and not row.cells.get("name") and identifier(row) != current
    is_variation = any(one.endswith("variation") for one in _types(row, "type"))
    if is_child or is_variation or row.cells.get("kind", "").casefold() in OF_ANOTHER:
        return Skipped(row.line, "a variant of a product", "variant")
    return None


def identifier(row: TableRow) -> str:
    """Return the identifier of the product that the row belongs to."""
    return row.cells.get("group") or row.cells.get("handle", "")


def without_type(row: TableRow) -> dict[str, str]:
    """Return the cells, without a category that is a type of a shop system."""
    return row.cells | {"product_type": ""} if _types(row, "product_type") else row.cells


def _types(row: TableRow, column: str) -> set[str]:
    """Return the types that the cell consists of; none if it is free text."""
    words = {word.strip() for word in row.cells.get(column, "").casefold().split(",")}
    return words if words <= TYPES and spelled(row.headers.get("handle", "")) not in HANDLES else set()
