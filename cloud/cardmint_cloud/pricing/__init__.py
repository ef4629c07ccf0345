"""Prices: providers asked behind breakers and permits, quotes stored or held back."""
