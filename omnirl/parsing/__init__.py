"""Read answers out of completions. Linear in the input, never raises on any string, no torch."""
