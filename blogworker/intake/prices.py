"""The columns with prices. Their headers may name a currency: `Price (USD)`, `Preis in EUR`."""

import re

from blogworker.currencies import CODES
from blogworker.intake.table import spelled

COLUMNS = {
    "price": (
        "variantprice", "price", "regularprice", "sellingprice", "retailprice", "pricetaxincl", "priceinclvat",
        "priceincltax", "preis", "verkaufspreis", "bruttopreis", "preisbrutto", "regularerpreis", "normalpreis",
        "prix", "prixttc", "prixdevente", "prixregulier", "tarifregulier", "prixnormal", "precio", "precioventa",
        "preciodeventa", "precionormal", "precioregular", "pvp", "prezzo", "prezzodivendita", "prezzonormale",
        "prezzoregolare", "prijs", "reguliereprijs", "normaleprijs", "verkoopprijs", "preco", "preconormal",
        "precoregular", "precodevenda",
        "prezzodilistino",  # the regular price in WooCommerce; beside another price, it is the former one
    ),
    "surcharge": ("surcharge",),  # Wix classic: added to the price of the product
    "compare_at_price": (
        "variantcompareatprice", "compareatprice", "strikethroughprice", "streichpreis", "originalprice", "oldprice",
        "preisalt", "alterpreis", "stattpreis", "listenpreis", "uvp", "msrp", "rrp", "prixbarre", "ancienprix",
        "prixdorigine", "preciooriginal", "precioanterior", "prezzobarrato", "prezzooriginale", "prezzodilistino",
        "adviesprijs",
    ),
    "sale_price": (
        "saleprice", "specialprice", "angebotspreis", "aktionspreis", "prixpromo", "tarifpromo", "prixsolde",
        "prixpromotionnel", "preciorebajado", "preciodeoferta", "preciooferta", "prezzoinofferta", "prezzoscontato",
        "actieprijs", "aanbiedingsprijs", "precopromocional", "precodesaldo",
    ),
}  # fmt: skip
WITH_CURRENCY = re.compile(r"(?P<header>.+?)(?:\s+in\s+|[\s([]+)(?P<code>[A-Z]{3})[)\]]?")


def column(header: str) -> str | None:
    """Return our name for the header of a price with its currency."""
    found = WITH_CURRENCY.fullmatch(header)
    if found is None or found["code"] not in CODES:
        return None
    return next((name for name, words in COLUMNS.items() if spelled(found["header"]) in words), None)
