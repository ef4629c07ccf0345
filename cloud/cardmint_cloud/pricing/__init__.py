"""Prices: providers asked behind breakers and permits, quotes kept and held back."""
