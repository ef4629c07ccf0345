"""Amounts are written with the decimals that their currency has."""

import pytest

from cardmint_contracts.currencies import digits


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (123456, "USD", "1,234.56"),
        (5, "EUR", "0.05"),
        (-150, "EUR", "-1.50"),
        (123456, "JPY", "123,456"),
        (-7, "JPY", "-7"),
        (1234567, "KWD", "1,234.567"),
        (3, "KWD", "0.003"),
        (12345, "CLF", "1.2345"),
        (0, "XYZ", "0.00"),
    ],
)
def test_an_amount_in_digits(minor: int, currency: str, text: str) -> None:
    assert digits(minor, currency) == text
