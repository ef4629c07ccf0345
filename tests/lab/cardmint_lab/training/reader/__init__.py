"""The reader of text strips.

Lines are drawn, a small network learns them by CTC, and is converted to LiteRT.
"""
