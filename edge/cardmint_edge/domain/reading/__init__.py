"""What is printed on a card: strips, the reader's output, and the catalogue's texts."""
