"""The finder of cards: scenes are drawn, a small network learns where cards lie in them, and is converted to LiteRT."""
