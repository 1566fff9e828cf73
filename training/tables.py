"""A report as Markdown: the tables that the README and the weights' card show."""

COLUMNS = (
    ("clips", "clips", "{:d}"),
    ("joints", "joints", None),
    ("joint error, mm", "joint_mm", "{:.0f}"),
    ("heights", "joint_heights", "{:.3f}"),
    ("not aligned, mm", "joint_unaligned_mm", "{:.0f}"),
    ("world, deg", "rotation_world_deg", "{:.1f}"),
    ("local, deg", "rotation_local_deg", "{:.1f}"),
    ("acceleration, mm", "acceleration_mm", "{:.1f}"),
    ("seam", "seam_ratio", "{:.2f}"),
    ("linear code, mm", "linear_mm", "{:.0f}"),
    ("clip's own code, mm", "own_code_mm", "{:.0f}"),
    ("slerp, mm", "slerp_mm", "{:.0f}"),
    ("mean pose, mm", "mean_pose_mm", "{:.0f}"),
)
METHOD_COLUMNS = (
    ("joint error, mm", "joint_mm", "{:.1f}"),
    ("not aligned, mm", "joint_unaligned_mm", "{:.0f}"),
    ("world, deg", "rotation_world_deg", "{:.1f}"),
    ("local, deg", "rotation_local_deg", "{:.1f}"),
    ("acceleration, mm", "acceleration_mm", "{:.1f}"),
    ("jerk", "jerk_ratio", "{:.2f}"),
    ("seam", "seam_ratio", "{:.2f}"),
    ("area under jerk", "area_under_jerk", "{:.3f}"),
    ("skate, cm/s", "skate_cm_s", "{:.2f}"),
)
METHOD_NAMES = {"source": "source", "model": "**model**", "slerp": "slerp", "own_code": "clip's own code"}
LENGTH_COLUMNS = (
    ("long enough", "long_enough", "{:d}"),
    ("taken", "clips", "{:d}"),
    ("joint error, mm", "joint_mm", "{:.1f}"),
    ("the same clips at 64 frames, mm", "shortest_mm", "{:.1f}"),
    *COLUMNS[4:9],
    ("area under jerk", "area_under_jerk", "{:.3f}"),
    *COLUMNS[10:],
)
VARIATION_COLUMNS = (
    ("clips", "clips", "{:d}"),
    ("change, deg", "change_deg", "{:.1f}"),
    ("95 %, deg", "change_95_deg", "{:.1f}"),
    ("jerk", "jerk_ratio", "{:.2f}"),
    ("peak jerk", "peak_jerk_ratio", "{:.2f}"),
    ("seam", "seam_ratio", "{:.2f}"),
    ("area under jerk", "area_under_jerk", "{:.3f}"),
    ("source's", "source_area_under_jerk", "{:.3f}"),
    ("skate, cm/s", "skate_cm_s", "{:.2f}"),
    ("source's", "source_skate_cm_s", "{:.2f}"),
    ("contact overlap", "contact_overlap", "{:.0%}"),
    ("outside ranges", "outside", "{:.1%}"),
    ("source's", "source_outside", "{:.1%}"),
    ("start pose, cm", "start_pose_cm", "{:.2f}"),
    ("end pose, cm", "end_pose_cm", "{:.2f}"),
)
SAMPLE_COLUMNS = (
    ("clips", "clips", "{:d}"),
    ("coverage", "coverage", "{:.1%}"),
    ("coverage, 20 deg", "coverage_deg", "{:.1%}"),
    ("local", "local", "{:.2f}"),
    ("global", "global", "{:.2f}"),
    ("local, deg", "local_deg", "{:.1f}"),
    ("global, deg", "global_deg", "{:.1f}"),
    ("inter", "inter", "{:.2f}"),
    ("aligned over random", "aligned_over_random", "{:.2f}"),
    ("source's spread", "spread", "{:.2f}"),
)
PRIOR_COLUMNS = (
    ("jerk", "jerk", "{:.4f}"),
    ("skate, cm/s", "skate_cm_s", "{:.1f}"),
    ("frames with contacts", "standing", "{:.0%}"),
    ("outside ranges", "outside", "{:.1%}"),
    ("coverage, 20 deg", "coverage", "{:.0%}"),
    ("nearest", "nearest", "{:.2f}"),
)
RATIO_COLUMNS = (
    ("jerk", "jerk_ratio", "{:.2f} times"),
    ("skate", "skate_ratio", "{:.2f} times"),
    ("", "", ""),
    ("", "", ""),
    ("coverage", "coverage_ratio", "{:.0%} of it"),
    ("nearest", "nearest_ratio", "{:.2f} times"),
)
KIND_NAMES = {"real": "real", "decoded": "decoded", "drawn": "**drawn**"}
REALISM_COLUMNS = {
    "variations": "variations",
    "real": "real against real",
    "noise": "independent noise",
    "pose_variations": "variations, mean poses alone",
    "pose_noise": "noise, mean poses alone",
}


def table(heads, rows) -> str:
    """A Markdown table of texts."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cell(value, form) -> str:
    """A figure as text; what doesn't apply is a dash."""
    if value is None:
        return "-"
    if isinstance(value, (list, tuple)):
        return f"{value[0]}" if value[0] == value[-1] else f"{value[0]}-{value[-1]}"
    return form.format(value)


def linear_cell(row) -> str:
    """The linear code's error; where only some clips are long enough, how many, and the network's error on those."""
    if row["linear_mm"] is None:
        return "-"
    if row["linear_clips"] == row["clips"]:
        return f"{row['linear_mm']:.0f}"
    beside = f"{row['linear_clips']} clips; the network there {row['joint_mm_beside_linear']:.0f}"
    return f"{row['linear_mm']:.0f} ({beside})"


def cells(row, columns) -> list[str]:
    """A row's figures as texts."""
    return [linear_cell(row) if key == "linear_mm" else cell(row.get(key), form) for _, key, form in columns]


def heads(columns) -> list[str]:
    """The columns' names."""
    return [head for head, _, _ in columns]


def set_name(row) -> str:
    """A set, and whether training saw its skeletons."""
    return f"{row['name']}{'' if row['trained'] else ' (unseen rigs)'}"


def reconstruction_table(rows) -> str:
    """All sets, those with skeletons that training saw first; held-out files of creatures below their set."""
    lines = []
    for row in rows:
        lines.append([set_name(row), *cells(row, COLUMNS)])
        lines += [[f"&nbsp;&nbsp;{file['name']}", *cells(file, COLUMNS)] for file in row.get("files", ())]
    return table(["held-out clips of", *heads(COLUMNS)], lines)


def method_table(rows) -> str:
    """All figures of every set, of the source itself, the model and the baselines."""
    lines = []
    for row in rows:
        for method, figures in row["methods"].items():
            # The clip's own code is given the source's path.
            shown = figures | {"joint_unaligned_mm": None} if method == "own_code" else figures
            lines.append([set_name(row), METHOD_NAMES[method], *cells(shown, METHOD_COLUMNS)])
    return table(["held-out clips of", "", *heads(METHOD_COLUMNS)], lines)


def length_table(rows) -> str:
    """One line a length; where no clip is long enough, nothing but that."""
    lines = [[str(row["length"]), *cells(row, LENGTH_COLUMNS)] for row in rows]
    return table(["frames", *heads(LENGTH_COLUMNS)], lines)


def rate_table(rates) -> str:
    """Errors by numbers a frame."""
    names = {"model": "**model**", "linear": "linear code", "own_code": "clip's own code", "slerp": "slerp"}
    lines = [
        [f"{group['name']} ({group['clips']} clips)", names[method], *(cell(mm, "{:.1f}") for mm in errors)]
        for group in rates["groups"]
        for method, errors in group["mm"].items()
    ]
    return table(["joint error, mm, at", "", *(f"{rate:g} numbers a frame" for rate in rates["rates"])], lines)


def setting_table(rows, columns) -> str:
    """Groups of clips, and in each the strengths and levels."""
    lines = []
    for row in rows:
        name = f"{row['level'].lower()}, {row.get('strength', 1):g}"
        lines.append([row["group"], name, *cells(row, columns)])
    return table(["clips of", "level, strength", *heads(columns)], lines)


def level_table(rows) -> str:
    """What each level does by itself."""
    columns = (
        ("change, deg", "change_deg", "{:.1f}"),
        ("varies over the clip", "varying", "{:.0%}"),
        ("speed, 1/s", "per_s", "{:.1f}"),
        ("clip's latent alone, deg", "global_latent_deg", "{:.1f}"),
    )
    return table(["level at strength 1", *heads(columns)], [[r["level"].lower(), *cells(r, columns)] for r in rows])


def diversity_table(rows) -> str:
    """How far three seeds are from each other."""
    lines = []
    for row in rows:
        degrees = [f"{row[name]:.1f}" for name in ("moving_deg", "all_deg")]
        lines.append([row["clip"], row["kind"], str(row["frames"]), *degrees])
    return table(["clip", "kind", "frames", "most moving joints, deg", "all joints, deg"], lines)


def realism_table(rows) -> str:
    """How often windows are told from those of real clips."""
    lines = [
        [row["name"], str(row["clips"]), str(row["windows"])]
        + [f"{row[key]:.0%} ± {row[f'{key}_error']:.0%}" for key in REALISM_COLUMNS]
        for row in rows
    ]
    return table(["clips of", "clips", "windows", *REALISM_COLUMNS.values()], lines)


def prior_table(rows) -> str:
    """Real, decoded and drawn clips of every set, and drawn over real."""
    lines = []
    for row in rows:
        lines += [[set_name(row), KIND_NAMES[kind], *cells(f, PRIOR_COLUMNS)] for kind, f in row["kinds"].items()]
        lines.append([set_name(row), "drawn over real", *cells(row, RATIO_COLUMNS)])
        copied = {"nearest": row["copied_nearest"]}
        if copied["nearest"] is not None:
            lines.append([set_name(row), "copied", *cells(copied, PRIOR_COLUMNS)])
    return table(["clips of", "", *heads(PRIOR_COLUMNS)], lines)


def goal_table(goals) -> str:
    """Goals, figures, and whether they are met."""
    lines = [[goal["goal"], goal["figure"], "yes" if goal["met"] else "**no**"] for goal in goals]
    return table(["goal", "figure", "met"], lines)
