"""Attack the configured rewards on real rows before anyone trains on them."""
