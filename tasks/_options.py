"""Task options: why a stage is tried again, and why it is not. One cache only, so never Prefect's.

A stage that answers with a clear sentence (exit code 2: bad params, wrong checksum, a reward that
pays cheating) would answer the same again; a crash or a killed process may not.
"""

from typing import Any

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from tasks._stage import StageCrash


def crashed(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether the stage's process died, rather than ended with a sentence about its input."""
    return isinstance(state.result(raise_on_failure=False), StageCrash)


PURE: dict[str, Any] = {
    "cache_policy": NO_CACHE,  # DVC decides what is stale; two caches would disagree
    "persist_result": False,  # results are files of the stage
    "retries": 0,  # deterministic: a second try ends the same way
}
NETWORK: dict[str, Any] = {
    **PURE,
    "retries": 1,  # each file was tried `fetch.retries` times already; what is complete is kept
    "retry_delay_seconds": 10,
    "retry_jitter_factor": 0.5,
}
COMPUTE: dict[str, Any] = {
    **PURE,
    "retries": 1,  # a lost device or a killed process: goes on from the last complete checkpoint
    "retry_delay_seconds": 5,
    "retry_condition_fn": crashed,
}
