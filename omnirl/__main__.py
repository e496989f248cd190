"""`python -m omnirl` is the command line."""

from omnirl.cli import main

main()
