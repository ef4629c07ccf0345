"""Adapters: one module for each device, library, file format or service."""
