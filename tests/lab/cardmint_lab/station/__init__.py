"""Measures the station on the machine at hand: what a promise names, a command here prints."""
