"""The rewards: one file each, one line each in `_FACTORIES`.

A reward is a pure function of one completion and one row. It never sees a batch, never touches the
network, and needs no torch. `get` finds one, `build` adds the configured ones up.
"""

import difflib
from collections.abc import Callable

from omnirl.config import Rewards, UnifiedAccuracy
from omnirl.errors import ConfigError
from omnirl.rewards.base import Reward
from omnirl.rewards.format import FORMAT
from omnirl.rewards.iou_reward import REC_IOU
from omnirl.rewards.mix import Mix, Mixed, scale_warnings
from omnirl.rewards.unified_accuracy import make as make_unified_accuracy

__all__ = ["Mix", "Mixed", "Reward", "build", "get", "names", "scale_warnings"]

PLAIN_MEAN = UnifiedAccuracy(bleu=1.0, rouge=1.0, meteor=1.0)
"""Weights outside a pipeline, where no `params.yaml` is read: the mean of the three."""

_FACTORIES: dict[str, Callable[[UnifiedAccuracy], Reward]] = {
    "format": lambda _: FORMAT,
    "rec_iou": lambda _: REC_IOU,
    "unified_accuracy": make_unified_accuracy,
}


def names() -> tuple[str, ...]:
    """Names of all registered rewards, sorted."""
    return tuple(sorted(_FACTORIES))


def get(name: str, weights: UnifiedAccuracy = PLAIN_MEAN) -> Reward:
    """The reward `name` (or `name@version`); `weights` concern `unified_accuracy` only.

    Raises:
        ConfigError: no such reward, or not in that version; names the nearest one.
    """
    bare, _, version = name.partition("@")
    if bare not in _FACTORIES:
        close = difflib.get_close_matches(bare, names(), n=1, cutoff=0.5)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(names())}"
        raise ConfigError(f"there is no reward {bare!r}; {hint}")
    reward = _FACTORIES[bare](weights)
    if version and version != str(reward.version):
        raise ConfigError(f"there is no reward {name!r}; this version of the project has {reward.title}")
    return reward


def build(settings: Rewards) -> Mix:
    """The weighted sum that `params.yaml: rewards` describes.

    Raises:
        ConfigError: unknown or double part, a weight that is not finite, weights of 0 only.
    """
    known = {name: get(name, settings.unified_accuracy) for name in names()}
    for part in settings.parts:
        if part.name != "accuracy":
            get(part.name)
    return Mix([(part.name, part.weight) for part in settings.parts], known)
