"""What the pages and the API read."""
