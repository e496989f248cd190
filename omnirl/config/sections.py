"""The sections of `params.yaml`, one frozen class each: the meaning of a key stands under its field.

No defaults for scientific values: every number lives in `params.yaml`. Knows nothing of files.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from omnirl.schema.row import Frame, Split, Task

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Fraction = Annotated[float, Field(ge=0, le=1)]
Hex40 = Annotated[str, Field(pattern=r"^([0-9a-f]{40}|demo)$")]
"""A pinned commit; `demo` = the commit in the manifest beside the demo's own Hub."""
Hex64 = Annotated[str, Field(pattern=r"^([0-9a-f]{64}|demo)$")]


class Section(BaseModel):
    """Base: frozen, unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Model(Section):
    """The model under training, shared by sft, train and evaluate."""

    family: Name
    """Entry of `omnirl/models/families.py`: box frame, prompts, module names."""
    dtype: Literal["float32", "bfloat16", "float16"]
    """Number format of weights and compute."""
    attention: Literal["auto", "flash_attention_2", "sdpa", "eager"]
    """`auto`: flash-attention 2 where it is installed, else SDPA; what was chosen is logged."""
    system_prompt: str | None
    """System message, or null for none."""
    prompt_template: str
    """Text around the question; must hold `{question}` once."""
    image_position: Literal["before", "after"]
    """Where images stand when the question has no `<image>` places of its own."""
    min_pixels: Annotated[int, Field(gt=0)] | None
    """Images are enlarged to at least this many pixels; null = the processor's own bound."""
    max_pixels: Annotated[int, Field(gt=0)] | None
    """Images are reduced to at most this many pixels; null = the processor's own bound."""

    @model_validator(mode="after")
    def _template(self) -> "Model":
        if self.prompt_template.count("{question}") != 1:
            raise ValueError("model.prompt_template must hold {question} exactly once")
        return self


class RewardPart(Section):
    """One summand of the training reward."""

    name: Name
    """`accuracy` (each row's own reward) or the name of a registered reward, e.g. `format`."""
    weight: float
    """Factor in the weighted sum."""


class UnifiedAccuracy(Section):
    """Weights of the unified text accuracy (OmniRL: BLEU local match, ROUGE coverage, METEOR coherence)."""

    bleu: Annotated[float, Field(ge=0)]
    rouge: Annotated[float, Field(ge=0)]
    meteor: Annotated[float, Field(ge=0)]


class Rewards(Section):
    """What training optimises, shared by redteam and train."""

    parts: Annotated[tuple[RewardPart, ...], Field(min_length=1)]
    unified_accuracy: UnifiedAccuracy


class HubFile(Section):
    """One file of a pinned revision."""

    path: str
    """Path inside the repository."""
    sha256: Hex64 | None
    """Expected digest; null = the Hub's own sha256 of that pinned revision."""


class DatasetRepo(Section):
    """A dataset repository to fetch."""

    repo: str
    """`owner/name` on the Hub."""
    revision: Hex40
    to: Name
    """Sub-folder of `data/raw`."""
    files: tuple[HubFile, ...]


class ModelRepo(Section):
    """The base model to fetch; every file of the revision."""

    repo: str
    revision: Hex40


class DemoBase(Section):
    """Recipe of the demo's base model: supervised steps on fresh, clean rows."""

    steps: Annotated[int, Field(gt=0)]
    batch: Annotated[int, Field(gt=0)]
    muon_lr: Annotated[float, Field(gt=0)]
    """Learning rate of Muon, for matrices."""
    adamw_lr: Annotated[float, Field(gt=0)]
    """Learning rate of AdamW, for everything else (patch convolution: a tenth)."""
    warmup_steps: Annotated[int, Field(ge=0)]


class Demo(Section):
    """What the demo's generator draws and trains before the first fetch."""

    seed: int
    train_rows: Annotated[int, Field(gt=0)]
    """Clean rows per task for GRPO."""
    weak_rows: Annotated[int, Field(gt=0)]
    """Weakly labelled rows per task for the warm start."""
    eval_rows: Annotated[int, Field(gt=0)]
    """Questions per evaluation set, one for each scene."""
    broken_rows: Annotated[int, Field(ge=0)]
    """Deliberately broken training rows, for `validate` to find."""
    weak_box: Fraction
    """Share of weak rows whose label is loose (boxes) or sloppy (sentences)."""
    weak_side: Fraction
    """Chance of each side of a loose box to stand one cell too far out."""
    weak_thought: Fraction
    """Share of weak rows without a thought."""
    base: DemoBase


class Fetch(Section):
    """Pinned files from a Hub."""

    endpoint: str
    """`demo` = make and serve the demo's own Hub; else an http(s) address."""
    timeout_s: Annotated[float, Field(gt=0)]
    """Seconds without a byte before a try counts as failed."""
    retries: Annotated[int, Field(ge=0)]
    """Further tries, with back-off, for each file."""
    datasets: tuple[DatasetRepo, ...]
    model: ModelRepo
    demo: Demo | None

    @model_validator(mode="after")
    def _demo(self) -> "Fetch":
        if self.endpoint == "demo" and self.demo is None:
            raise ValueError("fetch.endpoint is demo, so fetch.demo must say what to make")
        if self.endpoint != "demo" and not self.endpoint.startswith(("http://", "https://")):
            raise ValueError(f"fetch.endpoint must be demo or an http(s) address, not {self.endpoint!r}")
        return self


class Source(Section):
    """One file of annotations and the converter that reads it."""

    name: Name
    converter: Literal["vlmr1-rec", "vlmr1-conversations", "omnirl"]
    annotations: str
    """Reference below `data/raw`: `folder/file.jsonl` or `folder/file.zip::member`."""
    images: str | None
    """Folder or zip below `data/raw` that image names are relative to; null for text-only files."""
    split: Split
    task: Task
    reward: Name
    """Accuracy reward of rows that do not name their own."""
    box_frame: Frame | None
    """Frame of the file's boxes; null for tasks without boxes."""


class Convert(Section):
    """Annotations to canonical rows."""

    sources: Annotated[tuple[Source, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _unique(self) -> "Convert":
        names = [s.name for s in self.sources]
        if doubles := sorted({n for n in names if names.count(n) > 1}):
            raise ValueError(f"convert.sources: the name {doubles[0]!r} is used more than once")
        return self


class Validate(Section):
    """The data contract."""

    max_quarantine_fraction: Fraction
    """Above this share of unusable rows the pipeline stops."""
    max_pixels: Annotated[int, Field(gt=0)]
    """Images with more pixels are refused before they are decoded."""
    box_tolerance_px: Annotated[float, Field(ge=0)]
    """How far a box may reach over the edge of its image."""
    leakage: Literal["strict", "warn", "off"]
    """Images shared between training and evaluation rows: stop, report, ignore."""


class RedTeam(Section):
    """Attacks on the rewards, before anyone trains on them."""

    seed: int
    rows_per_dataset: Annotated[int, Field(gt=0)]
    """How many real training rows of each dataset are attacked."""
    margin: Annotated[float, Field(ge=0)]
    """How much better than the honest answer an attack may be paid (in units of the weighted sum)."""
    attacks: Annotated[tuple[Name, ...], Field(min_length=1)]
    accept: tuple[Name, ...]
    """Rewards whose weakness is accepted on purpose; shown on the page."""


class Lora(Section):
    """Low-rank adapters instead of full fine-tuning (VLM-R1: r 64, alpha 128, dropout .05)."""

    r: Annotated[int, Field(gt=0)]
    alpha: Annotated[int, Field(gt=0)]
    dropout: Fraction


class Trainer(Section):
    """What SFT and GRPO have in common."""

    datasets: Annotated[tuple[Name, ...], Field(min_length=1)]
    """Names of `convert.sources` to train on."""
    seed: int
    steps: Annotated[int, Field(gt=0)]
    learning_rate: Annotated[float, Field(gt=0)]
    lr_scheduler: Literal["constant", "constant_with_warmup", "linear", "cosine"]
    warmup_steps: Annotated[int, Field(ge=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    max_grad_norm: Annotated[float, Field(gt=0)]
    gradient_checkpointing: bool
    gradient_accumulation_steps: Annotated[int, Field(gt=0)]
    save_steps: Annotated[int, Field(gt=0)]
    """Steps between resumable checkpoints in the scratch folder."""
    logging_steps: Annotated[int, Field(gt=0)]
    """Steps between lines of the curve and of the log."""
    freeze: tuple[Literal["vision", "language", "merger"], ...]
    """Parts of the model that are not trained."""
    lora: Lora | None
    deepspeed: str | None
    """Path of a DeepSpeed config, e.g. `presets/deepspeed/zero3.json`; null = none."""
    report_to: tuple[Literal["wandb", "tensorboard"], ...]
    """Trackers beside the files in `reports/` and `runs/`; none by default."""


class Sft(Trainer):
    """Supervised warm start (TRL's SFTTrainer)."""

    batch_size: Annotated[int, Field(gt=0)]
    """Rows per device and step."""


class Train(Trainer):
    """GRPO (a small subclass of TRL's GRPOTrainer)."""

    prompts_per_step: Annotated[int, Field(gt=0)]
    """Prompts per device and micro-step; each is answered `num_generations` times."""
    num_generations: Annotated[int, Field(gt=1)]
    """Group size G."""
    num_iterations: Annotated[int, Field(gt=0)]
    """Optimisation passes over each batch of completions (mu)."""
    temperature: Annotated[float, Field(gt=0)]
    beta: Annotated[float, Field(ge=0)]
    """Weight of the k3 KL to the reference model; 0 = no reference model."""
    epsilon: Annotated[float, Field(gt=0)]
    """Clip range of the probability ratio, downwards."""
    epsilon_high: Annotated[float, Field(gt=0)]
    """Clip range of the probability ratio, upwards."""
    loss_type: Literal["grpo", "dr_grpo", "dapo", "bnpo"]
    scale_rewards: Literal["group", "batch", "none"]
    """Advantage = (reward - mean) / std of the group, of the batch, or without division."""
    mask_truncated_completions: bool
    max_output_token_length: Annotated[int, Field(gt=0)]
    """Completions are cut after this many tokens; the truncation rate is watched."""
    max_prompt_length: Annotated[int, Field(gt=0)]
    """Rows with more prompt tokens are refused, never truncated."""


class EvalSet(Section):
    """One set of questions and its part in the verdict."""

    dataset: Name
    """Name of a `convert.sources` entry with split `eval`."""
    role: Literal["target", "guard", "report"]
    """`target` decides, `guard` must not fall by more than its margin, `report` is only shown."""
    limit: Annotated[int, Field(gt=0)] | None
    """First N rows only; null = the whole set."""


class Evaluate(Section):
    """Greedy answers of champion and challenger to the same questions."""

    champion: Annotated[str, Field(pattern=r"^(warm-start|[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?@v\d+\.\d+\.\d+)$")]
    """`warm-start` = this run's SFT model; else a registered version `NAME@vX.Y.Z`."""
    batch_size: Annotated[int, Field(gt=0)]
    max_new_tokens: Annotated[int, Field(gt=0)]
    iou_threshold: Annotated[float, Field(gt=0, le=1)]
    """A box counts as found above this IoU, compared with > (not >=), as in the published evaluation."""
    text_threshold: Annotated[float, Field(gt=0, le=1)]
    """A sentence counts as right from this unified accuracy on (>=)."""
    sets: Annotated[dict[Name, EvalSet], Field(min_length=1)]


class Gate(Section):
    """The paired verdict."""

    alpha: Annotated[float, Field(gt=0, lt=1)]
    """Two-sided error probability, shared among the sets by Holm's rule."""
    bootstrap_samples: Annotated[int, Field(gt=0)]
    seed: int
    margins: dict[Name, Annotated[float, Field(ge=0)]]
    """Non-inferiority margin of each guard: `out_of_domain`, `acc75`, `format`, `unreadable`, `length`."""
    first_minimum: Fraction
    """Score that every target set must reach before a name gets its first title."""


class Register(Section):
    """Where the candidate is recorded."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?$")]
    """Name of the model in the registry; no dots, which GTO and DVC cannot read in a name."""


class Report(Section):
    """The page."""

    title: str
    examples: Annotated[int, Field(gt=0)]
    """Pictures shown in each gallery."""
