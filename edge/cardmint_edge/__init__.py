"""CardMint's station: captures cards, recognises them, counts them, and forwards the events."""

__version__ = "0.1.0"
