"""The files of others that are read: TCGplayer, Cardmarket and collection apps, as one table.

Headings are those of real files; `docs/marketplaces.md` says where each was seen, and what was not
verified with its service.
"""

from collections.abc import Mapping

from cardmint_cloud.domain import cardmarket, collection_apps, tcgplayer
from cardmint_cloud.domain.file_formats import FileFormat, FormatKind
from cardmint_cloud.domain.item_rows import READ, TOLD

_TCGPLAYER_TOLD = frozenset(
    {
        *("title", "rarity", "tcg_market_price", "tcg_direct_low", "total_quantity"),
        *("tcg_low_price_with_shipping", "tcg_low_price", "add_to_quantity", "photo_url"),
        *("my_store_reserve_quantity", "my_store_price", "pending_quantity", "product_line"),
        *("tcgplayer_id", "condition", "printing", "product_id", "tcg_marketplace_price"),
    }
)
_TCGPLAYER_READS: Mapping[str, str] = {
    "set_name": "set_name",
    "name": "product_name",
    "number": "number",
}

TCGPLAYER = FileFormat(
    name="tcgplayer",
    title="TCGplayer pricing file (MyPricing export)",
    kind=FormatKind.STOCK,
    marks=frozenset({"tcgplayer_id", "total_quantity", "add_to_quantity", "tcg_marketplace_price"}),
    reads=_TCGPLAYER_READS,
    refine=tcgplayer.of_product,
    identity=("tcgplayer_id",),
    ignored=_TCGPLAYER_TOLD,
    market="tcgplayer",
    sku=("tcgplayer_id",),
    listed="total_quantity",
    price="tcg_marketplace_price",
    currency="USD",
)
TCGPLAYER_PULL_SHEET = FileFormat(
    name="tcgplayer-pull-sheet",
    title="TCGplayer pull sheet",
    kind=FormatKind.SALES,
    marks=frozenset({"skuid", "order_quantity", "product_name", "condition"}),
    reads={"set_name": "set", "name": "product_name", "number": "number"},
    refine=tcgplayer.of_product,
    identity=("skuid",),
    ignored=frozenset(
        {
            *("product_line", "condition", "rarity", "quantity", "main_photo_url"),
            *("set_release_date", "skuid", "order_quantity"),
        }
    ),
    footer="Orders Contained in Pull Sheet:",
    market="tcgplayer",
    sku=("skuid",),
    orders="order_quantity",
)
TCGPLAYER_APP = FileFormat(
    name="tcgplayer-app",
    title="TCGplayer app, all columns",
    kind=FormatKind.CARDS,
    marks=TCGPLAYER.marks | {"product_id", "printing"},
    reads={**_TCGPLAYER_READS, "quantity": "add_to_quantity"},
    refine=tcgplayer.of_app,
    identity=("tcgplayer_id", "product_id", "printing", "condition"),
    ignored=_TCGPLAYER_TOLD,
)

TCGPLAYER_SCANS = FileFormat(
    name="tcgplayer-scans",
    title="TCGplayer app, scan list",
    kind=FormatKind.CARDS,
    marks=frozenset(
        {"quantity", "simple_name", "card_number", "set_code", "printing", "product_id", "sku"}
    ),
    reads={
        "set_name": "set",
        "name": "simple_name",
        "number": "card_number",
        "quantity": "quantity",
        "condition": "condition",
        "language": "language",
    },
    refine=collection_apps.of_scan_list,
    identity=("sku", "product_id", "printing", "condition", "language"),
    ignored=frozenset(
        {
            *("name", "set_code", "external_id", "printing", "rarity", "price", "price_each"),
            *("product_id", "sku"),
        }
    ),
)
_CARDMARKET_READS: Mapping[str, str] = {
    "language": "idlanguage",
    "condition": "condition",
    "quantity": "groupcount",
    "paid": "price",
}
_CARDMARKET_IDENTITY = (
    *("idproduct", "price", "idlanguage", "condition", "isfoil", "issigned", "isaltered"),
    *("isplayset", "isreverseholo", "isfirsted", "isfullart", "isuberrare", "iswithdie"),
)
_CARDMARKET_MARKS = frozenset({"idproduct", "groupcount", "idlanguage", "isreverseholo"})
_CARDMARKET_TOLD = frozenset({"idproduct", "isfoil", "isplayset", "isreverseholo", "isfirsted"})
CARDMARKET_PURCHASE = FileFormat(
    name="cardmarket-purchase",
    title="Cardmarket purchase (ArticlesFromShipment)",
    kind=FormatKind.CARDS,
    marks=_CARDMARKET_MARKS,
    reads=_CARDMARKET_READS,
    words=cardmarket.WORDS,
    constant={"paid_currency": "EUR"},
    refine=cardmarket.of_article,
    identity=_CARDMARKET_IDENTITY,
    apart=True,
    ignored=_CARDMARKET_TOLD,
)
CARDMARKET_STOCK = FileFormat(
    name="cardmarket-stock",
    title="Cardmarket stock",
    kind=FormatKind.CARDS,
    marks=_CARDMARKET_MARKS,
    reads={name: place for name, place in _CARDMARKET_READS.items() if name != "paid"},
    words=cardmarket.WORDS,
    refine=cardmarket.of_article,
    identity=_CARDMARKET_IDENTITY,
    ignored=_CARDMARKET_TOLD | {"price"},
)
CARDMARKET_OLD_STOCK = FileFormat(
    name="cardmarket-old-stock",
    title="Cardmarket stock, as its former API gave it",
    kind=FormatKind.CARDS,
    marks=frozenset({"idarticle", "idproduct", "english_name", "exp._name", "amount"}),
    reads={
        "set_name": "exp._name",
        "name": "english_name",
        "language": "language",
        "condition": "condition",
        "quantity": "amount",
        "note": "comments",
    },
    words=cardmarket.WORDS,
    refine=cardmarket.of_old_article,
    identity=("idarticle",),
    ignored=frozenset(
        {
            *("idarticle", "idproduct", "local_name", "exp.", "price", "onsale", "foil?"),
            "playset?",
        }
    ),
)
PRICECHARTING = FileFormat(
    name="pricecharting",
    title="PriceCharting collection",
    kind=FormatKind.CARDS,
    marks=frozenset({"id", "product_name", "console_name", "include_string", "price_in_pennies"}),
    reads={
        "name": "product_name",
        "set_name": "console_name",
        "quantity": "quantity",
        "condition": "condition_string",
        "note": "notes",
        "lot": "folder",
        "grader": "grading_company",
        "certificate": "grading_cert_id",
    },
    words={"condition": {"normal wear": ""}},
    refine=collection_apps.of_pricecharting,
    identity=(
        *("id", "include_string", "condition_string", "sku", "date_entered", "folder"),
        *("grading_company", "grading_cert_id"),
    ),
    ignored=frozenset(
        {"id", "include_string", "price_in_pennies", "condition_id", "cost_basis_in_pennies"}
    ),
)
COLLECTR = FileFormat(
    name="collectr",
    title="Collectr portfolio",
    kind=FormatKind.CARDS,
    marks=frozenset({"portfolio_name", "product_name", "variance", "card_condition", "watchlist"}),
    reads={
        "set_name": "set",
        "name": "product_name",
        "number": "card_number",
        "condition": "card_condition",
        "quantity": "quantity",
        "lot": "portfolio_name",
        "note": "notes",
    },
    refine=collection_apps.of_collectr,
    identity=(
        *("portfolio_name", "set", "product_name", "card_number", "variance", "grade"),
        *("card_condition", "date_added"),
    ),
    ignored=frozenset({"category", "rarity", "variance", "grade", "market_price", "watchlist"}),
)
POKECOLLECTOR = FileFormat(
    name="pokecollector",
    title="pokecollector",
    kind=FormatKind.CARDS,
    marks=frozenset({"set_code", "number"}),
    reads={
        "set_name": "set_code",
        "number": "number",
        "quantity": "quantity",
        "condition": "condition",
        "language": "lang",
    },
    refine=collection_apps.of_pokecollector,
    identity=("set_code", "number", "condition", "variant", "lang"),
    ignored=frozenset({"variant"}),
)
DRAGON_SHIELD = FileFormat(
    name="dragon-shield",
    title="Dragon Shield card manager, web",
    kind=FormatKind.CARDS,
    marks=frozenset(
        {"folder_name", "trade_quantity", "card_name", "set_name", "card_number", "printing"}
    ),
    reads={
        "set_name": "set_name",
        "name": "card_name",
        "number": "card_number",
        "quantity": "quantity",
        "condition": "condition",
        "finish": "printing",
        "language": "language",
        "lot": "folder_name",
    },
    words=collection_apps.DRAGON_SHIELD_WORDS,
    identity=(
        *("folder_name", "set_name", "card_name", "card_number", "condition", "printing"),
        *("language", "date_bought"),
    ),
    ignored=frozenset({"set_code", "low", "mid", "market", "avg", "trend", "trade_quantity"}),
)
DRAGON_SHIELD_APP = FileFormat(
    name="dragon-shield-app",
    title="Dragon Shield card manager, app",
    kind=FormatKind.CARDS,
    marks=frozenset({"cardnumber", "expansion_code", "expansion_name", "foil", "purchasedate"}),
    reads={
        "set_name": "expansion_name",
        "name": "name",
        "number": "cardnumber",
        "quantity": "quantity",
        "condition": "condition",
        "finish": "foil",
        "language": "language",
    },
    words=collection_apps.DRAGON_SHIELD_WORDS,
    identity=(
        *("expansion_code", "name", "cardnumber", "foil", "condition", "language"),
        "purchasedate",
    ),
    ignored=frozenset({"single_current_price", "total_current_price", "expansion_code"}),
)

FORMATS = (
    *(TCGPLAYER, TCGPLAYER_PULL_SHEET, TCGPLAYER_APP, TCGPLAYER_SCANS),
    *(CARDMARKET_PURCHASE, CARDMARKET_STOCK, CARDMARKET_OLD_STOCK),
    *(PRICECHARTING, COLLECTR, POKECOLLECTOR, DRAGON_SHIELD, DRAGON_SHIELD_APP),
)
"""The formats that a file is known to be of by its columns."""

CARDMINT = FileFormat(
    name="cardmint",
    title="CardMint's own export, as new cards",
    kind=FormatKind.CARDS,
    marks=frozenset({"item", "version", "card_id"}),
    reads={name: name for name in sorted(READ - {"item", "version", "reference"})},
    identity=("item",),
    ignored=frozenset({*TOLD, "item", "version", "confidence"}),
)
"""An export of another deployment. Only who names it gets it: our own files change cards."""

BY_NAME = {one.name: one for one in (*FORMATS, CARDMINT)}
