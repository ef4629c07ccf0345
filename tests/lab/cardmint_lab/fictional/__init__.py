"""A fictional trading card game: code makes all names, rules and pictures.

It stands in where real cards may not be used: demo, simulator, tests, screenshots.
"""
