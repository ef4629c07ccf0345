"""Providers' names for the catalogue's sets and cards.

The catalogue's identifiers are those of pokemontcg.io; `cardmint_contracts.set_bridge` has those of
TCGdex. TCGplayer's group numbers come from the groups that TCGCSV lists, as several public projects
record them. A set that is not listed here follows the general rules, and a provider may not know
it.
"""

from cardmint_contracts import set_bridge
from cardmint_contracts.cards import Card

_GROUPS = """
base1=604 base2=635 basep=1418 base3=630 base4=605 base5=1373 gym1=1441 gym2=1440 neo1=1396
neo2=1434 si1=648 neo3=1389 neo4=1444 base6=1374 ecard1=1375 bp=1455 ecard2=1397 ecard3=1372
ex1=1393 ex2=1392 ex3=1376 np=1423 ex4=1377 tk1a=1543 tk1b=1543 ex5=1416 ex6=1419 pop1=1422 ex7=1428
ex8=1404 ex9=1410 ex10=1398 pop2=1447 ex11=1429 ex12=1378 tk2a=1542 tk2b=1542 pop3=1442 ex13=1379
ex14=1395 pop4=1452 ex15=1411 pop5=1439 ex16=1383 dp1=1430 dpp=1421 dp2=1368 pop6=1432 dp3=1380
dp4=1405 pop7=1414 dp5=1390 dp6=1417 pop8=1450 dp7=1369 pl1=1406 pop9=1446 pl2=1367 pl3=1384
pl4=1391 ru1=1433 hgss1=1402 hsp=1453 hgss2=1399 hgss3=1403 hgss4=1381 col1=1415 bwp=1407 bw1=1400
mcd11=1401 bw2=1424 bw3=1385 bw4=1412 bw5=1386 mcd12=1427 bw6=1394 dv1=1426 bw7=1408 bw8=1413
bw9=1382 bw10=1370 xyp=1451 bw11=1409/1465 xy0=1522 xy1=1387 xy2=1464 mcd14=1692 xy3=1481 xy4=1494
xy5=1509 dc1=1525 xy6=1534 xy7=1576 xy8=1661 mcd15=1694 xy9=1701 g1=1728/1729 xy10=1780 xy11=1815
mcd16=3087 xy12=1842 sm1=1863 smp=1861 sm2=1919 sm3=1957 sm35=2054 sm4=2071 mcd17=2148 sm5=2178
sm6=2209 sm7=2278 sm75=2295 mcd18=2364 sm8=2328 sm9=2377 det1=2409 sm10=2420 sm11=2464 sm115=2480
sma=2594 mcd19=2555 sm12=2534 swshp=2545 swsh1=2585 swsh2=2626 swsh3=2675 swsh35=2685 swsh4=2701
swsh45=2754 swsh45sv=2781 swsh5=2765 swsh6=2807 swsh7=2848 mcd21=2782 cel25=2867 cel25c=2931
swsh8=2906 swsh9=2948 swsh9tg=3020 swsh10=3040 swsh10tg=3068 pgo=3064 mcd22=3150 swsh11=3118
swsh11tg=3172 swsh12=3170 swsh12tg=17674 swsh12pt5=17688 swsh12pt5gg=17689 svp=22872 sve=24382
sv1=22873 sv2=23120 sv3=23228 sv3pt5=23237 sv4=23286 sv4pt5=23353 sv5=23381 sv6=23473 sv6pt5=23529
sv7=23537 sv8=23651 sv8pt5=23821 sv9=24073 sv10=24269 zsv10pt5=24325 rsv10pt5=24326 mep=24451
me1=24380 me2=24448 me2pt5=24541
"""
_TCGPLAYER = {
    set_id: tuple(int(number) for number in numbers.split("/"))
    for set_id, numbers in (pair.split("=") for pair in _GROUPS.split())
}
_PRICECHARTING = {
    "base1": "Base Set",
    "ecard1": "Expedition",
    "hgss2": "Unleashed",
    "hgss3": "Undaunted",
    "hgss4": "Triumphant",
    "sv3pt5": "Scarlet & Violet 151",
    "tk1a": "EX Latias & Latios",
    "tk1b": "EX Latias & Latios",
    "tk2a": "EX Plusle & Minun",
    "tk2b": "EX Plusle & Minun",
}


def set_of(card: Card) -> str:
    """Return a card's set; from its identifier when the station did not name one."""
    return card.set_id or card.id.rpartition("-")[0]


def number_of(card: Card) -> str:
    """Return a card's number without its total (`4` of `4/102`); else that of its identifier."""
    return (card.number or card.id.rpartition("-")[2]).split("/")[0].strip()


def tcgdex_id(card: Card) -> str:
    """Return TCGdex's identifier of a card."""
    return set_bridge.tcgdex_id(card.id)


def tcgplayer_groups(set_id: str) -> tuple[int, ...]:
    """Return the TCGplayer groups that hold a set's cards; () when none is known."""
    return _TCGPLAYER.get(set_id, ())


def pricecharting_console(card: Card) -> str:
    """Return PriceCharting's name of a card's set, which it calls a console."""
    if set_of(card) in _PRICECHARTING:
        return f"Pokemon {_PRICECHARTING[set_of(card)]}"
    return "Pokemon Promo" if "Promos" in card.set_name else f"Pokemon {card.set_name}"


def normalised_name(text: str) -> str:
    """Return a name's letters and digits in one case, so that spellings of one name are equal."""
    folded = text.casefold().replace("é", "e").replace("&", "and")
    return "".join(character for character in folded if character.isalnum())


def same_number(one: str, other: str) -> bool:
    """Whether two numbers are equal without their totals and leading zeros."""
    first, second = (text.split("/")[0].strip().upper().lstrip("0") for text in (one, other))
    return first == second and first != ""
