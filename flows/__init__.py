"""When things run: order and schedule. How a stage is run stands in `tasks`, what it does in `omnirl`."""
