"""One error class per contract; every message says what, where, why and what to do.

The command line turns any `OmniRLError` into one sentence on stderr and exit code 2.
Nothing here imports the rest of the project.
"""


class OmniRLError(Exception):
    """Base of every error a user can meet; `str(error)` is a complete sentence."""

    exit_code = 2


class ConfigError(OmniRLError):
    """`params.yaml` (or a preset) misses a key, has an unknown one, or holds a value out of bounds."""


class ContractError(OmniRLError):
    """A value breaks a contract between modules: a box without frame size, a row without image."""


class DataError(OmniRLError):
    """An input file cannot be read or has the wrong form; the message names file, row and field."""


class FetchError(OmniRLError):
    """A download failed: unreachable, missing, wrong checksum, gated, no space."""


class QuarantineError(DataError):
    """More rows had to be quarantined than `validate.max_quarantine_fraction` allows."""


class RewardError(OmniRLError):
    """A reward crashed or left its declared range; names the reward, its version and the row."""


class RedTeamError(OmniRLError):
    """An attack is paid better than an honest answer; training must not start."""


class ModelError(OmniRLError):
    """A model folder cannot be loaded: missing files, pickled weights, remote code, unknown family."""


class TrainingError(OmniRLError):
    """Training cannot start or go on: NaN loss, empty batch, another trainer holds the folder."""


class RefusedError(OmniRLError):
    """Two results must not be compared (frames, questions or fingerprints differ)."""

    exit_code = 12


class RegistryError(OmniRLError):
    """The registry cannot do what was asked: unknown version, name or digest."""


class ConflictError(RegistryError):
    """Somebody else moved the title first; nothing was changed."""


class ProcessError(OmniRLError):
    """A program that the project started failed; carries its exit code and last lines."""
