"""Intersection over union of two boxes in the same frame: the one IoU of the project."""

from omnirl.schema.row import Box


def iou(a: Box, b: Box) -> float:
    """Continuous IoU in 0..1; 0.0 when either box is empty or inverted.

    No `+1` pixel convention: boxes are continuous extents, so a box against itself is 1.0 in any
    frame, and the value does not change when both boxes are scaled alike.
    """
    area_a = max(0.0, a[2] - a[0]) * max(0.0, a[3] - a[1])
    area_b = max(0.0, b[2] - b[0]) * max(0.0, b[3] - b[1])
    if area_a <= 0 or area_b <= 0:
        return 0.0
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    shared = width * height
    return min(1.0, shared / (area_a + area_b - shared))
