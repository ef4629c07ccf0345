"""CardMint's service: counts events exactly once, prices cards, asks people, shows all of it."""

__version__ = "0.1.0"
