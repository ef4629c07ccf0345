"""CardMint's service: receives every count exactly once, prices it, keeps the inventory, asks for reviews."""

__version__ = "0.1.0"
