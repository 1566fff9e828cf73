"""A report's figures as PNG, by matplotlib."""

import importlib.util
from pathlib import Path

from .goals import PRIOR_WITHIN
from .rates import ANCHORS

COLOURS = {"model": "#c8553d", "linear": "#28586e", "own_code": "#6fa3b8", "slerp": "#9a9a96", "mean_pose": "#d8d4cb"}
PRIOR_COLOURS = {"jerk": "#c8553d", "skate": "#e0a458", "coverage": "#28586e", "nearest": "#9a9a96"}
NAMES = {
    "model": "model",
    "linear": "linear code of the training clips",
    "own_code": "the clip's own linear code",
    "slerp": "slerp between keys",
    "mean_pose": "mean pose",
}


def canvas(width: float, height: float, columns: int = 1):
    """A figure that needs no screen, and its axes, `[columns]`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
        each.grid(color="#e6e2d8", linewidth=0.6)
        each.set_axisbelow(True)
    return figure, axes


def draw_rates(path: Path, rates: dict) -> None:
    """Joint error against numbers a frame, one panel a group of skeletons."""
    figure, axes = canvas(5.6 * len(rates["groups"]), 4.4, len(rates["groups"]))
    for each, group in zip(axes, rates["groups"], strict=True):
        for method, errors in group["mm"].items():
            points = [(rate, mm) for rate, mm in zip(rates["rates"], errors, strict=True) if mm is not None]
            if points:
                label = NAMES[method] + (f" ({rates['model_rate']:g}, and fewer kept)" if method == "model" else "")
                each.plot(*zip(*points, strict=True), "o-", color=COLOURS[method], label=label, markersize=4)
        for name, rate, mm in ANCHORS if group is rates["groups"][0] else ():
            each.plot(rate, mm, "D", color="none", markeredgecolor="#777")
            each.annotate(f"{name}*", (rate, mm), textcoords="offset points", xytext=(6, 4), fontsize=7, color="#777")
        each.set(xscale="log", yscale="log", xlabel="numbers a frame", title=f"{group['name']}, {group['clips']} clips")
        each.set_xticks(rates["rates"], [f"{rate:g}" for rate in rates["rates"]])
        each.minorticks_off()
        each.set_yticks([5, 10, 20, 50, 100, 200], ["5", "10", "20", "50", "100", "200"])
    axes[0].set_ylabel("joint error, mm")
    axes[0].legend(fontsize=7, frameon=False)
    figure.supxlabel("* published, on their own data and skeleton: not comparable", fontsize=7, color="#777")
    figure.savefig(path)


def draw_sets(path: Path, rows: list[dict]) -> None:
    """Joint error by set, the model beside the baselines."""
    figure, (axes,) = canvas(1.6 + 0.95 * len(rows), 4.0)
    keys = {"model": "joint_mm", "linear": "linear_mm", "own_code": "own_code_mm", "slerp": "slerp_mm"}
    keys["mean_pose"] = "mean_pose_mm"
    for order, (method, key) in enumerate(keys.items()):
        # The linear code fits only some clips of a set; where it doesn't fit all, it would stand beside other clips.
        bars = [
            (place + 0.16 * (order - 2), row[key])
            for place, row in enumerate(rows)
            if row[key] is not None and (method != "linear" or row["linear_clips"] == row["clips"])
        ]
        if bars:
            axes.bar(*zip(*bars, strict=True), width=0.16, color=COLOURS[method], label=NAMES[method])
    names = [row["name"] + ("" if row["trained"] else "\n(unseen)") for row in rows]
    axes.set_xticks(range(len(rows)), names, fontsize=7, rotation=25)
    axes.set_ylabel("joint error, mm")
    axes.legend(fontsize=7, frameon=False)
    figure.savefig(path)


def draw_prior(path: Path, rows: list[dict]) -> None:
    """Jerk, skate, coverage and nearest distance of clips from the prior over those of real clips, by set."""
    figure, (axes,) = canvas(2.4 + 0.95 * len(rows), 3.6)
    axes.axhspan(1 - PRIOR_WITHIN, 1 + PRIOR_WITHIN, color="#f0ebdf", zorder=0)
    axes.axhline(1, color="#8a877f", linewidth=0.8)
    for order, (name, colour) in enumerate(PRIOR_COLOURS.items()):
        key = f"{name}_ratio"
        bars = [(place + 0.2 * (order - 1.5), row[key]) for place, row in enumerate(rows) if row[key] is not None]
        if bars:
            axes.bar(*zip(*bars, strict=True), width=0.2, color=colour, label=name)
    axes.set_xticks(range(len(rows)), [row["name"] for row in rows], fontsize=7, rotation=25)
    axes.set_ylabel("drawn over real")
    axes.legend(fontsize=7, frameon=False)
    figure.savefig(path)


def draw_figures(out: Path, result: dict, report) -> list[str]:
    """The figures of the parts that were measured; returns the files' names, none where matplotlib isn't installed."""
    if importlib.util.find_spec("matplotlib") is None:
        report("No figures: matplotlib isn't installed in this Python; `python build.py setup` makes one that has it.")
        return []
    drawn = []
    if result.get("reconstruction"):
        draw_sets(out / "sets.png", result["reconstruction"])
        drawn.append("sets.png")
    if result.get("rates", {}).get("groups"):
        draw_rates(out / "rates.png", result["rates"])
        drawn.append("rates.png")
    if result.get("prior"):
        draw_prior(out / "prior.png", result["prior"])
        drawn.append("prior.png")
    return drawn
