"""Curves and the forest plot as SVG text for the page: the same bytes for the same numbers.

Colours are written as CSS variables of the page (`var(--ink)`, ...), so a figure follows light and
dark; texts stay texts. Every figure is drawn 360 units wide, which is a telephone's width. Knows
numbers only: no files, no HTML around it.
"""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from omnirl.report.inputs import Curve
from omnirl.report.words import points

WIDTH = 360.0
"""Units of the SVG's view box; matplotlib's points."""
SMOOTH = 9
"""Width in steps of the running mean drawn over the raw curve."""
COLORS = {
    "ink": "#010203",
    "muted": "#010204",
    "grid": "#010205",
    "card": "#01020c",
    "better": "#010206",
    "worse": "#010207",
    "same": "#010208",
    "series-1": "#010209",
    "series-2": "#01020a",
    "series-3": "#01020b",
}
"""Page variable -> stand-in colour that matplotlib draws with; replaced afterwards."""
SETTINGS: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 12.0,
    "axes.unicode_minus": True,
    "path.simplify": True,
}


@dataclass(frozen=True)
class Chart:
    """One figure: title and description for readers who do not see it, and the SVG."""

    title: str
    text: str
    svg: Markup


@dataclass(frozen=True)
class Panel:
    """What one small chart shows: (column, label) pairs of a curve file."""

    title: str
    series: tuple[tuple[str, str], ...]
    share: bool = False
    """Values are fractions 0..1: the axis is fixed."""


TRAIN_PANELS = (
    Panel("Reward", (("reward", "all together"), ("accuracy", "accuracy"), ("format", "format"))),
    Panel("Tokens per answer", (("completion_tokens", "mean"),)),
    Panel(
        "Share of answers and groups",
        (("truncated", "cut off answers"), ("frac_reward_zero_std", "groups without signal")),
        share=True,
    ),
    Panel("Entropy per token", (("entropy", "mean"),)),
)
SFT_PANELS = (Panel("Warm start: loss", (("loss", "loss"),)),)


def curves(curve: Curve, panels: Sequence[Panel]) -> list[Chart]:
    """One chart for each panel that has a column in `curve`."""
    charts = []
    for panel in panels:
        series = [(label, curve[column]) for column, label in panel.series if _numbers(curve.get(column, []))]
        if series:
            charts.append(_curve_chart(panel, curve.get("step", []), series))
    return charts


def _numbers(values: Sequence[float | None]) -> list[float]:
    return [v for v in values if v is not None]


def _curve_chart(panel: Panel, steps: Sequence[float | None], series: list[tuple[str, list[float | None]]]) -> Chart:
    figure, axes = _canvas(panel.title, 210)
    said = []
    for number, (label, values) in enumerate(series, 1):
        at = [s for s in steps if s is not None]
        x = at if len(at) == len(values) else list(range(1, len(values) + 1))
        pairs = [(a, v) for a, v in zip(x, values, strict=True) if v is not None]
        color = COLORS[f"series-{number}"]
        axes.plot(*zip(*pairs, strict=True), color=color, alpha=0.3, linewidth=1)
        smooth = running_mean([v for _, v in pairs], min(SMOOTH, max(1, len(pairs) // 5)))
        axes.plot([a for a, _ in pairs], smooth, color=color, linewidth=2.2, label=label, **_line(number, len(pairs)))
        said.append(f"{label} from {smooth[0]:.3g} to {smooth[-1]:.3g}")
    if panel.share:
        axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("step", color=COLORS["muted"])
    axes.grid(axis="y", color=COLORS["grid"], linewidth=1)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.locator_params(axis="y", nbins=5)
    if len(series) > 1:
        legend = figure.legend(
            loc="outside upper left", ncols=len(series), frameon=False, fontsize=11, handlelength=1.6
        )
        for text in legend.get_texts():
            text.set_color(COLORS["ink"])
    return Chart(panel.title, f"{panel.title}: " + "; ".join(said) + ".", _svg(figure, panel.title))


def _line(number: int, points: int) -> dict[str, Any]:
    """Line style by position, so that colour is not the only difference; few points are marked."""
    style = {1: "solid", 2: (0, (5, 1.5)), 3: (0, (1.5, 1.5))}[number]
    return {"linestyle": style, "marker": "o" if points < 5 else None, "markersize": 5}


def running_mean(values: Sequence[float], width: int) -> list[float]:
    """Centred mean over up to `width` values; the window shrinks towards both ends, so no lag and no invention."""
    half = width // 2
    means = []
    for i in range(len(values)):
        reach = min(half, i, len(values) - 1 - i)
        window = values[i - reach : i + reach + 1]
        means.append(sum(window) / len(window))
    return means


def forest(rows: Sequence[dict[str, Any]], margins: dict[str, float]) -> Chart | None:
    """Paired gain with its 95 % interval for each row of `tables.results`; None when no row has one.

    Args:
        rows: rows of `tables.results`; gains and intervals are fractions.
        margins: set name -> non-inferiority margin (fraction), drawn as a mark on the left.
    """
    drawn = [r for r in rows if r["gain"] is not None and r["ci95"] and None not in r["ci95"]]
    if not drawn:
        return None
    figure, axes = _canvas("forest", 58 + 46 * len(drawn))
    axes.axvline(0, color=COLORS["ink"], linewidth=1.2)
    said = []
    for place, row in enumerate(drawn):
        _forest_row(axes, -place, row, margins.get(row["name"]))
        said.append(f"{row['title']} {points(row['gain'])}")
    ends = [100 * v for r in drawn for v in (*r["ci95"], r["gain"], -(margins.get(r["name"]) or 0.0))] + [-5.0, 5.0]
    room = 0.04 * (max(ends) - min(ends))
    axes.set(ylim=(0.55 - len(drawn), 0.75), xlim=(min(ends) - room, max(ends) + room), yticks=[])
    axes.locator_params(axis="x", nbins=6)
    axes.grid(axis="x", color=COLORS["grid"], linewidth=1)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("gain of the challenger, percentage points", color=COLORS["muted"])
    text = "Paired gain in percentage points with its 95 % interval: " + "; ".join(said) + "."
    return Chart("Paired gains", text, _svg(figure, "forest"))


def _forest_row(axes: Axes, y: int, row: dict[str, Any], margin: float | None) -> None:
    color = COLORS[row["effect"] if row["effect"] in COLORS else "same"]
    low, high = (100 * v for v in row["ci95"])
    axes.plot([low, high], [y, y], color=color, linewidth=3, solid_capstyle="butt")
    for end in (low, high):
        axes.plot([end, end], [y - 0.12, y + 0.12], color=color, linewidth=2)
    marker = {"better": "^", "worse": "v"}.get(row["effect"], "o")
    axes.plot([100 * row["gain"]], [y], marker=marker, markersize=9, color=color)
    if margin is not None:
        axes.plot(
            [-100 * margin] * 2, [y - 0.22, y + 0.22], color=COLORS["muted"], linestyle=(0, (2, 1.5)), linewidth=2
        )
    label = f"{row['title']}  {points(row['gain'])}"
    back = {"facecolor": COLORS["card"], "edgecolor": "none", "pad": 1.5}
    place = axes.get_yaxis_transform()
    axes.text(0.0, y + 0.3, label, color=COLORS["ink"], transform=place, va="bottom", bbox=back, fontsize=12)


def _canvas(title: str, height: float) -> tuple[Figure, Axes]:
    """An empty figure of `WIDTH` x `height` units with the page's colours."""
    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH / 72, height / 72), layout="constrained", facecolor="none")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot(facecolor="none")
    axes.tick_params(colors=COLORS["muted"], length=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(COLORS["grid"])
    return figure, axes


def _svg(figure: Figure, salt: str) -> Markup:
    """The figure as an inline `<svg>`: no date, no ids that could meet those of another figure."""
    buffer = io.StringIO()
    with mpl.rc_context({**SETTINGS, "svg.hashsalt": salt}):
        nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
        FigureCanvasSVG(figure).print_svg(buffer, metadata=nothing)
    return Markup(inline(buffer.getvalue(), salt))  # noqa: S704 - matplotlib escapes the texts it draws


def inline(text: str, salt: str) -> str:
    """An SVG document of matplotlib as an element for the page; `salt` makes its ids unique there."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<(metadata|style)\b.*?</\1>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) xmlns:xlink="[^"]*"', r"\1", text, count=1)
    prefix = re.sub(r"[^a-z]", "", salt.lower())
    used = set(re.findall(r'(?:xlink:href="#|url\(#)([\w.-]+)', text))
    text = re.sub(r' id="([\w.-]+)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", text)
    text = re.sub(r'xlink:href="#([\w.-]+)"', rf'href="#{prefix}-\1"', text)
    text = re.sub(r"url\(#([\w.-]+)\)", rf"url(#{prefix}-\1)", text)
    text = re.sub(r"font-family: [^;\"]*; ", "", text)
    for name, color in COLORS.items():
        text = text.replace(color, f"var(--{name})")
    return text.replace("<svg", '<svg aria-hidden="true"', 1).strip()
