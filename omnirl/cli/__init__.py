"""The command line: subcommands = the ten stages, plus what people do by hand.

Sets up logging, turns `OmniRLError` into one sentence and an exit code, and imports each stage
inside its subcommand, so that `omnirl gate` starts without torch. Commands that need the
orchestrator are added by the entry-point group `omnirl.commands`.
"""

import logging
import os
import sys
from importlib.metadata import entry_points

import typer

from omnirl import __version__
from omnirl.errors import OmniRLError

app = typer.Typer(
    name="omnirl",
    help="GRPO post-training for vision-language models, with the evidence attached.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

INTERRUPTED = 130
INTERRUPTED_MESSAGE = "omnirl: interrupted, everything is ended; run the same command again to go on\n"


def setup_logging() -> None:
    """Log lines on stderr, `HH:MM:SS message`; level from `OMNIRL_LOG` (default INFO)."""
    level = os.environ.get("OMNIRL_LOG", "INFO").upper()
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    for name in ("omnirl", "flows", "tasks"):
        logging.getLogger(name).setLevel(getattr(logging, level, logging.INFO))


@app.callback(invoke_without_command=True)
def _root(version: bool = typer.Option(False, "--version", help="Print the version and stop.")) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


def _load_commands() -> None:
    from omnirl.cli import stages

    stages.add_to(app)
    for name in ("judge", "registry", "preset", "summary"):
        try:
            module = __import__(f"omnirl.cli.{name}", fromlist=["add_to"])
        except ModuleNotFoundError as error:
            if error.name != f"omnirl.cli.{name}":
                raise
            continue
        module.add_to(app)
    for point in entry_points(group="omnirl.commands"):
        try:
            register = point.load()
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] not in ("flows", "tasks"):
                raise
            continue  # the wheel alone: flows and tasks exist where the repository is installed
        register(app)


def main() -> None:
    """Entry point of `omnirl`: run one command; exit 2 with one sentence on bad input, 130 on Ctrl-C."""
    setup_logging()
    _load_commands()
    try:
        app()
    except OmniRLError as error:
        sys.stderr.write(f"omnirl: {' '.join(str(error).split())}\n")
        sys.exit(error.exit_code)
    except SystemExit as error:
        if error.code == INTERRUPTED:  # typer turns Ctrl-C into this silent exit
            sys.stderr.write(INTERRUPTED_MESSAGE)
        raise
    except KeyboardInterrupt:
        sys.stderr.write(INTERRUPTED_MESSAGE)
        sys.exit(INTERRUPTED)
