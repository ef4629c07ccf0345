"""CardMint's station: captures cards, identifies them on the device, counts them durably, forwards the counts."""

__version__ = "0.1.0"
