"""Desired artifacts and settings of the fleet, and the reports of its stations."""
