"""Boxes and the frames they are written in. Pure Python: no I/O, no torch."""
