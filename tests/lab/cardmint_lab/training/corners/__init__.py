"""Training of the finder: scenes are drawn, a network learns them, and is converted to LiteRT."""
