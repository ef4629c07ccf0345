"""Trains the embedding of cards' pictures."""
