"""Commands that need the orchestrator: `omnirl demo` and `omnirl ui`, added to the command line by an entry point.

They exist where the repository is installed; the wheel alone has the library's commands.
"""

import functools
import signal
import time
from collections.abc import Callable
from typing import NoReturn, ParamSpec

import typer

from omnirl.errors import ProcessError
from tasks._workspace import this_checkout

P = ParamSpec("P")


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command("demo")(_ends_cleanly(demo))
    app.command("ui")(_ends_cleanly(ui))


def _ends_cleanly(command: Callable[P, None]) -> Callable[P, None]:
    """`command` with Ctrl-C and SIGTERM ending everything that it started, once; the command line says so."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        signal.signal(signal.SIGINT, _interrupted)
        signal.signal(signal.SIGTERM, _interrupted)
        try:
            command(*args, **kwargs)
        except KeyboardInterrupt:
            raise typer.Exit(128 + signal.SIGINT) from None

    return wrapped


def _interrupted(_number: int, _frame: object) -> NoReturn:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first one is enough: everything is being ended
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def demo() -> None:
    """Run the whole pipeline of `params.yaml` in this checkout, with a local Prefect server of its own.

    What is up to date is not done again. Ends with the verdict, the figures, and what to do next.

    Example: omnirl demo
    """
    from flows import local

    root = this_checkout()
    start = time.monotonic()
    typer.echo("The pipeline of this checkout: a local Prefect server runs it, DVC decides what is stale.")
    with local.prefect_server(root) as server:
        typer.echo(f"Prefect server ready after {time.monotonic() - start:.0f} s: {server.url}")
        local.run_flow(root, server, on_line=typer.echo)
    typer.echo(f"\nDone in {time.monotonic() - start:.0f} s, start and end of the server included.")


def ui(port: int = typer.Option(4200, help="Wanted port; another one is taken where it is in use.")) -> None:
    """Run Prefect's server and one worker in the foreground; Ctrl-C ends both.

    Example: omnirl ui
    """
    from flows import local
    from omnirl.io import processes

    root = this_checkout()
    running = local.running_server(root)
    if running is not None:
        raise ProcessError(f"a server of this checkout is running already: {running.url}; end that command first")
    typer.echo("Starting the Prefect server and a worker ...")
    with local.prefect_server(root, port=port, ui=True) as server:
        local.ensure_deployment(root, server)
        worker = local.start_worker(root, server)
        try:
            typer.echo(_ui_text(server.url, str(server.home / "auth")))
            while worker.poll() is None and server.process is not None and server.process.poll() is None:
                time.sleep(0.5)
        finally:
            processes.stop(worker)
    raise ProcessError(f"the server or the worker ended by itself; their logs are in {server.home}")


def _ui_text(url: str, auth: str) -> str:
    return f"""\
Open {url} and log in with the line in {auth}

Start a run from another terminal, in this folder:
  export PREFECT_API_URL={url}/api PREFECT_API_AUTH_STRING=$(cat {auth})
  .venv/bin/prefect deployment run post-training/weekly

The weekly schedule is paused; switch it on in the page of the deployment. Ctrl-C ends server and worker."""
