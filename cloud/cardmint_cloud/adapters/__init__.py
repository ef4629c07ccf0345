"""Adapters: one module for each outside thing."""
