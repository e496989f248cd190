"""Read a completion: blocks, boxes. Linear in its length, total on every `str`, no torch.

Knows nothing of frames, rows or rewards: numbers come out in the unit they were written in.
"""
