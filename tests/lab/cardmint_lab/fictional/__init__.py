"""A trading card game that does not exist: every name, rule and picture is made by this code.

It stands in wherever real cards may not go: the demo, the simulator, the tests, a screenshot.
"""
