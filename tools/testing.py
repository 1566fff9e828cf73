"""Every test, against the built zip, in one or more versions of Blender; pytest's results counted together."""

import os
import shutil
import time
import xml.etree.ElementTree as xml_tree
import zipfile
from pathlib import Path

from .environments import BLENDERS, MAIN, ROOT, BuildError, ensure_environment, run, say

FOLDERS = ("plain", "process", "training")  # of tests, which share a process; each Blender file gets its own
DEMO = ("test_demo.py",)  # the demo runs in the main Blender alone
NOTHING_COLLECTED = 5  # pytest's exit code where a -k or a path picked no test
CODE = "import os, sys, pytest; code = pytest.main(sys.argv[1:]); sys.stdout.flush(); os._exit(int(code))"


def chosen_blenders(arguments) -> tuple[list, list[str]]:
    """The Blenders that `--blender 4.2,5.2` or `--blender all` names, and the other arguments.

    Raises:
        BuildError: there is no such version.
    """
    rest, named = [], MAIN.version
    words = iter(arguments)
    for word in words:
        if word == "--blender":
            named = next(words, "")
        elif word.startswith("--blender="):
            named = word.partition("=")[2]
        else:
            rest.append(word)
    versions = list(BLENDERS) if named == "all" else [part.strip() for part in named.split(",")]
    for version in versions:
        if version not in BLENDERS:
            raise BuildError(f"--blender takes {', '.join(BLENDERS)} with commas between, or all, but got '{named}'.")
    return [BLENDERS[version] for version in dict.fromkeys(versions)], rest


def run_tests(path: Path, dist: Path, extension: str, blenders, arguments) -> int:
    """Runs the tests of the zip in each Blender; the exit code. In CI a skipped test counts as a failure."""
    started = time.monotonic()
    unpacked = dist / "unpacked" / extension
    shutil.rmtree(unpacked, ignore_errors=True)
    with zipfile.ZipFile(path) as archive:
        archive.extractall(unpacked)
    environment = {
        **os.environ,
        "MOTION_VARIATIONS_ZIP": str(path),
        "MOTION_VARIATIONS_FOLDER": str(unpacked),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
    }
    named = [argument for argument in arguments if (ROOT / argument.split("::")[0]).exists()]
    options = [argument for argument in arguments if argument not in named]
    total, slow = {"passed": 0, "failed": 0, "skipped": 0}, []
    # All environments first: what is missing is known before the first test runs.
    pythons = [ensure_environment(["training", "dev"] if blender is MAIN else [], blender) for blender in blenders]
    for blender, python in zip(blenders, pythons, strict=True):
        for targets in test_processes(named, blender):
            begun = time.monotonic()
            command = [*targets, *options, *marks(blender)]
            say(f"Blender {blender.version}: pytest {' '.join(command)}")
            for name, count in run_pytest(python, command, environment, dist / "pytest.xml").items():
                total[name] += count
            slow.append((time.monotonic() - begun, f"{targets[0]} in {blender.version}"))
    say("slowest: " + ", ".join(f"{name} {seconds:.0f} s" for seconds, name in sorted(slow, reverse=True)[:5]))
    say(f"all tests took {time.monotonic() - started:.0f} s, in Blender {', '.join(one.version for one in blenders)}")
    if os.environ.get("CI") and total["skipped"]:
        say("CI has everything that tests need, so a skipped test counts as a failure there.")
    print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped", flush=True)
    return int(total["failed"] > 0 or total["passed"] == 0 or bool(os.environ.get("CI") and total["skipped"]))


def marks(blender) -> list[str]:
    """Leaves out tests of what a version, or its environment, doesn't have."""
    lacking = [*blender.lacks, *(() if blender is MAIN else ("torch",))]
    return ["-m", " and ".join(f"not {mark}" for mark in lacking)] if lacking else []


def test_processes(named, blender=MAIN) -> list[list[str]]:
    """What each pytest process gets: tests without Blender together, each Blender file alone.

    The main Blender's environment runs all; another one what depends on Blender and its Python, without the demo.
    """
    if not named:
        folders = [f"tests/{one}" for one in (FOLDERS if blender is MAIN else ("process",))]
        together = [one for one in folders if (ROOT / one).is_dir()]
        files = sorted((ROOT / "tests/blender").glob("test_*.py"))
        return [together] + [
            [str(file.relative_to(ROOT))] for file in files if blender is MAIN or file.name not in DEMO
        ]
    processes, together = [], []
    for name in named:
        path = ROOT / name.split("::")[0]
        if (ROOT / "tests/blender") not in (path, *path.parents):
            together.append(name)
        elif path.is_dir():
            processes += [[str(file.relative_to(ROOT))] for file in sorted(path.glob("test_*.py"))]
        else:
            processes.append([name])
    return [together] * bool(together) + processes


def run_pytest(python: Path, arguments, environment, report: Path) -> dict[str, int]:
    """One pytest process; how many passed, failed and were skipped. A process that dies counts as a failure."""
    report.unlink(missing_ok=True)
    # bpy may hang or crash while Python ends, after all tests are done; hence os._exit.
    code = run([str(python), "-c", CODE, *arguments, f"--junitxml={report}"], env=environment)
    if not report.is_file():
        say(f"pytest ended with {code} and without a report.")
        return {"failed": 1}
    suites = list(xml_tree.parse(report).getroot().iter("testsuite"))
    tests, errors, failures, skipped = (
        sum(int(suite.get(name, 0)) for suite in suites) for name in ("tests", "errors", "failures", "skipped")
    )
    failed = errors + failures
    if code not in (0, NOTHING_COLLECTED) and not failed:
        failed = 1
    return {"passed": max(tests - errors - failures - skipped, 0), "failed": failed, "skipped": skipped}
