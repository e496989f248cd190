"""Put the first seed's table of docs/demo-results.md into the README, between its two markers.

.venv/bin/python benchmarks/readme_results.py
"""

from pathlib import Path

from omnirl.io import files

REPO = Path(__file__).resolve().parents[1]
START, END = "<!-- results: benchmarks/readme_results.py -->", "<!-- end of results -->"
HEAD = (
    "the demo, seed {seed}",
    "n",
    "before (SFT on weak labels)",
    "after GRPO",
    "gained / lost",
    "McNemar p",
    "95 % interval",
)


def table(results: str) -> list[str]:
    """The rows of the first seed, without the seed and the verdict."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in results.splitlines() if line.startswith("| ")
    ]
    main = rows[1 : next(i for i, row in enumerate(rows) if i and row[0] == "seed")]
    seed = main[0][0]
    kept = [row[1:] for row in main if row[0] == seed and "verdict" not in row[1]]
    head = [name.format(seed=seed) for name in HEAD]
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *kept)]


def main() -> None:
    """Rewrite the README."""
    results = (REPO / "docs/demo-results.md").read_text(encoding="utf-8")
    readme = REPO / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(START)
    _, _, after = rest.partition(END)
    files.write_text(readme, "\n".join([before + START, *table(results), END]) + after)


if __name__ == "__main__":
    main()
