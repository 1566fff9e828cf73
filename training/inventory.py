"""What a prepared data set holds and what was left out, for people: tables from its manifest."""

from collections import Counter, defaultdict

from backend.features import MODEL_FPS

from .licences import UNKNOWN


def inventory(manifest: dict, seconds: float) -> dict:
    """The figures of a data set.

    Returns:
        sets (a row each), licences (clips of each), dropped and changed (file, clip, why), bytes, seconds.
    """
    rows = {}
    for clip in manifest["clips"] + manifest["dropped"]:
        row = rows.setdefault(clip["set"], {"set": clip["set"], "clips": Counter(), "frames": 0, "joints": []})
        if "error" in clip:
            row["clips"]["dropped"] += 1
            continue
        row["clips"][clip["split"]] += 1
        row["clips"]["changed"] += bool(clip["notes"])
        row["frames"] += clip["frames"]
        row["joints"].append(clip["joints"])
    sets = [
        {
            "set": row["set"],
            **{name: row["clips"][name] for name in ("train", "test", "eval", "changed", "dropped")},
            "minutes": round(row["frames"] / MODEL_FPS / 60, 2),
            "joints": [min(row["joints"], default=0), max(row["joints"], default=0)],
        }
        for row in rows.values()
    ]
    licences = Counter(clip["licence"] for clip in manifest["clips"])
    changed = [
        {"path": clip["path"], "name": clip["name"], "why": note}
        for clip in manifest["clips"]
        for note in clip["notes"]
    ]
    dropped = [{"path": clip["path"], "name": clip["name"], "why": clip["error"]} for clip in manifest["dropped"]]
    return {
        "sets": sorted(sets, key=lambda row: row["set"]),
        "licences": dict(licences.most_common()),
        "dropped": dropped,
        "changed": changed,
        "shards": len(manifest["shards"]),
        "bytes": sum(shard["bytes"] for shard in manifest["shards"]),
        "frames": sum(clip["frames"] for clip in manifest["clips"]),
        "seconds": round(seconds, 1),
    }


def inventory_markdown(report: dict) -> str:
    """The same as Markdown."""
    minutes, megabytes = report["frames"] / MODEL_FPS / 60, report["bytes"] / 1e6
    clips = sum(row["train"] + row["test"] + row["eval"] for row in report["sets"])
    lines = [
        "# The prepared data set",
        "",
        f"{clips} clips, {minutes:.1f} minutes at {MODEL_FPS:.0f} fps, {megabytes:.1f} MB in {report['shards']} "
        f"shards; {len(report['dropped'])} dropped, {len(report['changed'])} cut or changed; "
        f"made in {report['seconds']:.0f} s.",
        "",
        "| set | train | test | eval | minutes | joints | cut or changed | dropped |",
        "| --- | ---: | ---: | ---: | ---: | --- | ---: | ---: |",
    ]
    for row in report["sets"]:
        low, high = row["joints"]
        lines.append(
            f"| {row['set']} | {row['train']} | {row['test']} | {row['eval']} | {row['minutes']:.1f} | "
            f"{low if low == high else f'{low}-{high}'} | {row['changed']} | {row['dropped']} |"
        )
    lines += ["", "## Licences", "", "| clips | licence |", "| ---: | --- |"]
    lines += [f"| {count} | {_cell(name)} |" for name, count in report["licences"].items()]
    if UNKNOWN in report["licences"]:
        lines += [
            "",
            "Say what is unknown in a table `licences.tsv` (see `training/licences.py`) before weights are shared.",
        ]
    for title, rows in (("Dropped", report["dropped"]), ("Cut or changed", report["changed"])):
        lines += ["", f"## {title}", ""]
        reasons = defaultdict(list)
        for row in rows:
            reasons[_cell(row["why"].replace(row["path"], "the file"))].append(f"`{row['path']}` {_cell(row['name'])}")
        for why, clips in sorted(reasons.items(), key=lambda item: -len(item[1])):
            lines += [f"- {why}", *(f"    - {clip}" for clip in clips)]
        if not rows:
            lines.append("Nothing.")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Text that can't break a line or a table."""
    return " ".join(text.split()).replace("|", "/")
