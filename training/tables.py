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
    ("mean pose, mm", "mean_pose_mm", "{:.0f}"),
)
VARIATION_COLUMNS = (
    ("clips", "clips", "{:d}"),
    ("change, deg", "change_deg", "{:.1f}"),
    ("95 %, deg", "change_95_deg", "{:.1f}"),
    ("jerk", "jerk_ratio", "{:.2f}"),
    ("peak jerk", "peak_jerk_ratio", "{:.2f}"),
    ("seam", "seam_ratio", "{:.2f}"),
    ("skate, cm/s", "skate_cm_s", "{:.2f}"),
    ("source's", "source_skate_cm_s", "{:.2f}"),
    ("contact overlap", "contact_overlap", "{:.0%}"),
    ("start pose, cm", "start_pose_cm", "{:.2f}"),
    ("end pose, cm", "end_pose_cm", "{:.2f}"),
)


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


def reconstruction_line(name: str, row) -> list[str]:
    """One set as cells."""
    cells = [name]
    for _, key, form in COLUMNS:
        cells.append(linear_cell(row) if key == "linear_mm" else cell(row[key], form))
    return cells


def reconstruction_table(rows) -> str:
    """All sets, those with skeletons that training saw first; held-out files of creatures below their set."""
    lines = []
    for row in rows:
        lines.append(reconstruction_line(f"{row['name']}{'' if row['trained'] else ' (unseen rigs)'}", row))
        lines += [reconstruction_line(f"&nbsp;&nbsp;{file['name']}", file) for file in row.get("files", ())]
    return table(["held-out clips of", *(head for head, _, _ in COLUMNS)], lines)


def variation_table(rows) -> str:
    """Groups of clips, and in each the strengths and levels."""
    lines = []
    for row in rows:
        name = f"{row['level'].lower()}, {row['strength']:g}"
        lines.append([row["group"], name, *(cell(row[key], form) for _, key, form in VARIATION_COLUMNS)])
    return table(["clips of", "level, strength", *(head for head, _, _ in VARIATION_COLUMNS)], lines)


def level_table(rows) -> str:
    """What each level does by itself."""
    lines = [
        [
            row["level"].lower(),
            cell(row["change_deg"], "{:.1f}"),
            cell(row["varying"], "{:.0%}"),
            cell(row["per_s"], "{:.1f}"),
            cell(row.get("global_latent_deg"), "{:.1f}"),
        ]
        for row in rows
    ]
    heads = ["level at strength 1", "change, deg", "varies over the clip", "speed, 1/s", "clip's latent alone, deg"]
    return table(heads, lines)


def diversity_table(rows) -> str:
    """How far three seeds are from each other."""
    lines = []
    for row in rows:
        degrees = [f"{row[name]:.1f}" for name in ("moving_deg", "all_deg")]
        lines.append([row["clip"], row["kind"], str(row["frames"]), *degrees])
    return table(["clip", "kind", "frames", "most moving joints, deg", "all joints, deg"], lines)


def goal_table(goals) -> str:
    """Goals, figures, and whether they are met."""
    lines = [[goal["goal"], goal["figure"], "yes" if goal["met"] else "**no**"] for goal in goals]
    return table(["goal", "figure", "met"], lines)


def markdown(report) -> str:
    """The whole report."""
    return f"""# Held-out figures of the weights {report["version"]}

Means over clips{" (a quick look: few clips)" if report["quick"] else ""}. Errors of a body of 1.7 m, aligned at the
root; *not aligned* with the path that the decoder itself makes from the clip's first frame. *Seam*: jerk near the
borders of chunks over elsewhere, over the same of the source. The *linear code* (principal components of chunks, as
many numbers a frame) is fitted on that skeleton's training clips, for unseen rigs on the clip's other half.

## Reconstruction

{reconstruction_table(report["reconstruction"])}

## Variations

{variation_table(report["variation"]["rows"])}

Jerk and peak jerk over the source's; skate and contacts of clips that have contacts.

{level_table(report["variation"]["levels"])}

*Varies over the clip*: the part of the change that isn't the same in every frame. *Speed*: degrees a second over
degrees.

Three seeds at strength 1 differ by:

{diversity_table(report["variation"]["diversity"])}

## Goals

{goal_table(report["goals"])}
"""
