"""The flight recorder: every sampled completion with its rewards and advantage. No torch."""
