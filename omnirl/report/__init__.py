"""From the stages' reports to one page a manager reads on Monday morning, and to `reports/summary.json`."""
