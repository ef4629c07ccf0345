"""Amounts of money in digits.

How many decimals a currency has, after ISO 4217's list one (SIX, 2026).
"""

_DECIMALS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
DECIMALS = {
    currency: decimals
    for decimals, currencies in _DECIMALS.items()
    for currency in currencies.split()
}
"""Decimals of the currencies that have not two."""


def digits(minor: int, currency: str) -> str:
    """Return an amount of minor units in the currency's own.

    123456 is `1,234.56` USD and `123,456` JPY.
    """
    decimals = DECIMALS.get(currency, 2)
    whole, part = divmod(abs(minor), 10**decimals)
    sign = "-" if minor < 0 else ""
    return f"{sign}{whole:,}.{part:0{decimals}d}" if decimals else f"{sign}{whole:,}"
