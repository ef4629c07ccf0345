"""Rebuilds the models that the station carries.

Needs `requirements.txt` of this folder; nothing here is shipped.
"""
