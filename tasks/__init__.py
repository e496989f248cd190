"""How each stage is run: retries, log on the run page, artifacts. What is stale is DVC's decision alone."""
