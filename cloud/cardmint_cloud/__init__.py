"""CardMint's service: counts events exactly once, prices cards, keeps the inventory, asks people."""

__version__ = "0.1.0"
