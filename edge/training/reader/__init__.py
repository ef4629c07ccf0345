"""The reader of text strips: lines are drawn, a small network learns them by CTC, and is converted to LiteRT."""
