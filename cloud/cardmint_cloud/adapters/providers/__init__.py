"""Price providers over HTTP: one file for each, and one that fetches."""
