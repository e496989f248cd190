"""Records that cross stage borders. Stages share files and these classes, never code of another stage."""

from omnirl.schema.row import Box, Frame, Row, Size
from omnirl.schema.score import Score, Status

__all__ = ["Box", "Frame", "Row", "Score", "Size", "Status"]
