"""Words that converters and the contract share."""

IMAGE_MARK = "<image>"
"""Where an image stands in a question."""
BOX_TASKS = ("rec",)
"""Tasks whose answer is one box."""
