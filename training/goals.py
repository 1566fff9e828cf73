"""What the figures should be, and whether they are."""

from backend.variation import LEVELS

TRAINED_MM, NEW_PEOPLE_HEIGHTS, CREATURES_TIMES = 20.0, 0.0275, 2.0
SEAM = 1.03
JERK_WITHIN = 0.10
SKATE_CM_S = 0.2
OVERLAP = 0.95
POSE_CM = 0.5
GLOBAL_DEG = 2.0
DIVERSE_DEG = 8.0
COVERAGE, ALIGNED = 0.99, 0.60
TOLD = 0.60
PRIOR_WITHIN, PRIOR_COVERAGE = 0.25, 0.60


def goal(text: str, figure: str, met: bool) -> dict:
    """One line of the list of goals."""
    return {"goal": text, "figure": figure, "met": bool(met)}


def reconstruction_goals(rows) -> list[dict]:
    """What reconstructions should reach."""
    goals = []
    trained = [row for row in rows if row["trained"]]
    if trained:
        figures = ", ".join(f"{row['name']} {row['joint_mm']:.0f}" for row in trained)
        met = all(row["joint_mm"] <= TRAINED_MM for row in trained)
        goals.append(goal(f"joint error of trained skeletons at most {TRAINED_MM:.0f} mm, every set", figures, met))
    if new := [row for row in rows if not row["trained"] and row["people"]]:
        figures = ", ".join(f"{row['name']} {row['joint_heights']:.4f}" for row in new)
        met = all(row["joint_heights"] <= NEW_PEOPLE_HEIGHTS for row in new)
        goals.append(goal(f"unseen human rigs at most {NEW_PEOPLE_HEIGHTS} heights, every set", figures, met))
    for row in rows:
        if row.get("seen_mm") is not None:
            times = row["joint_mm"] / row["seen_mm"]
            text = f"unseen {row['name']} within {CREATURES_TIMES:.0f} times of those that training saw"
            figures = f"{row['joint_mm']:.0f} to {row['seen_mm']:.0f} mm, {times:.1f} times"
            goals.append(goal(text, figures, times <= CREATURES_TIMES))
    if seams := [row for row in rows if row["seam_ratio"] is not None]:
        worst = max(seams, key=lambda row: row["seam_ratio"])
        text = f"seam of reconstructions at most {SEAM} times the source's, every set"
        goals.append(goal(text, f"{worst['seam_ratio']:.2f} ({worst['name']})", worst["seam_ratio"] <= SEAM))
    if beside := [row for row in trained if row["linear_mm"] is not None]:
        figures = ", ".join(f"{r['name']} {r['joint_mm_beside_linear']:.0f} to {r['linear_mm']:.0f}" for r in beside)
        met = all(row["joint_mm_beside_linear"] < row["linear_mm"] for row in beside)
        goals.append(goal("below the linear code on trained skeletons, every set", figures, met))
    return goals


def variation_goals(tables: dict) -> list[dict]:
    """What variations should be like; means over all clips, the worst of the strengths and levels."""
    rows = [row for row in tables["rows"] if row["group"] == "all"]
    strengths = [row["change_deg"] for row in rows if row["level"] == "PHRASES"]
    figures = ", ".join(f"{degrees:.1f}" for degrees in strengths) + " deg"
    rising = all(a < b for a, b in zip(strengths[:-1], strengths[1:], strict=True))
    goals = [goal("more strength, more change", figures, rising)]
    jerk = max((row["jerk_ratio"] for row in rows), key=lambda ratio: abs(ratio - 1))
    text = f"mean jerk within {JERK_WITHIN:.0%} of the source's"
    goals.append(goal(text, f"{jerk:.2f} times", abs(jerk - 1) <= JERK_WITHIN))
    if seams := [row["seam_ratio"] for row in rows if row["seam_ratio"] is not None]:
        text = f"seam of variations at most {SEAM} times the source's"
        goals.append(goal(text, f"{max(seams):.2f}", max(seams) <= SEAM))
    if standing := [row for row in rows if row["skate_cm_s"] is not None]:
        skate = max(row["skate_cm_s"] - row["source_skate_cm_s"] for row in standing)
        overlap = min(row["contact_overlap"] for row in standing)
        goals.append(goal(f"skate at most the source's + {SKATE_CM_S} cm/s", f"{skate:+.2f} cm/s", skate <= SKATE_CM_S))
        goals.append(goal(f"contact overlap at least {OVERLAP:.0%}", f"{overlap:.1%}", overlap >= OVERLAP))
    pose = max(row["pose_cm_worst"] for row in rows)
    goals.append(goal(f"end poses within {POSE_CM} cm, every clip", f"{pose:.3f} cm", pose <= POSE_CM))
    return goals + sample_goals(tables["samples"]) + level_goals(tables["levels"], tables["diversity"])


def sample_goals(samples) -> list[dict]:
    """Coverage and aligned distance of phrases at strength 1, means over all clips."""
    row = next(row for row in samples if (row["group"], row["level"]) == ("all", "PHRASES"))
    text = f"coverage at least {COVERAGE:.0%} (rotation-6D, and 20 degrees)"
    figures = f"{row['coverage']:.1%}, {row['coverage_deg']:.1%}"
    goals = [goal(text, figures, min(row["coverage"], row["coverage_deg"]) >= COVERAGE)]
    text = f"aligned over random-pair distance under {ALIGNED:.2f} at an inter-diversity of 2 to 3"
    figures = f"{row['aligned_over_random']:.2f} at {row['inter']:.2f}"
    return [*goals, goal(text, figures, row["aligned_over_random"] < ALIGNED and 2 <= row["inter"] <= 3)]


def level_goals(levels, diversity) -> list[dict]:
    """What the levels do by themselves, and how far seeds are from each other."""
    whole, phrases, detail = (next(row for row in levels if row["level"] == name) for name in LEVELS)
    effect = whole["global_latent_deg"]
    text = f"whole motion: the clip's latent alone at least {GLOBAL_DEG:.0f} deg"
    goals = [goal(text, f"{effect:.1f} deg", effect >= GLOBAL_DEG)]
    figures = f"{phrases['varying']:.0%} of it, whole motion {whole['varying']:.0%}"
    goals.append(goal("phrases varies over the clip", figures, phrases["varying"] > whole["varying"]))
    figures = f"{detail['change_deg']:.1f} deg at {detail['per_s']:.1f} /s, phrases {phrases['change_deg']:.1f} deg"
    figures += f" at {phrases['per_s']:.1f} /s"
    small = detail["change_deg"] < phrases["change_deg"] and detail["per_s"] > phrases["per_s"]
    goals.append(goal("detail stays small and fast", figures, small))
    if diversity:
        figures = ", ".join(f"{row['kind']} {row['moving_deg']:.1f}" for row in diversity)
        met = all(row["moving_deg"] >= DIVERSE_DEG for row in diversity)
        text = f"three seeds at least {DIVERSE_DEG:.0f} deg apart on the joints that move most, every clip"
        goals.append(goal(text, f"{figures} deg", met))
    return goals


def realism_goals(rows) -> list[dict]:
    """How often the classifier may be right."""
    if not rows:
        return []
    figures = ", ".join(f"{row['name']} {row['variations']:.0%}" for row in rows)
    text = f"variations told from real clips at most {TOLD:.0%} of the time, every set"
    return [goal(text, figures, all(row["variations"] <= TOLD for row in rows))]


def prior_goals(rows) -> list[dict]:
    """How near to data clips from the prior should be, every set."""
    goals = []
    for name in ("jerk", "skate"):
        if known := [row for row in rows if row[f"{name}_ratio"] is not None]:
            figures = ", ".join(f"{row['name']} {row[f'{name}_ratio']:.2f}" for row in known)
            met = all(abs(row[f"{name}_ratio"] - 1) <= PRIOR_WITHIN for row in known)
            text = f"prior samples: {name} within {PRIOR_WITHIN:.0%} of held-out clips', every set"
            goals.append(goal(text, f"{figures} times", met))
    if known := [row for row in rows if row["coverage_ratio"] is not None]:
        figures = ", ".join(f"{row['name']} {row['coverage_ratio']:.0%}" for row in known)
        text = (
            f"prior samples: at least {PRIOR_COVERAGE:.0%} of what other held-out clips cover (20 degrees), every set"
        )
        goals.append(goal(text, figures, all(row["coverage_ratio"] >= PRIOR_COVERAGE for row in known)))
    return goals


def all_goals(result: dict) -> list[dict]:
    """The goals of the parts of a report that were measured."""
    goals = reconstruction_goals(result["reconstruction"]) if "reconstruction" in result else []
    goals += variation_goals(result["variation"]) if "variation" in result else []
    goals += realism_goals(result["realism"]) if "realism" in result else []
    return goals + (prior_goals(result["prior"]) if "prior" in result else [])
