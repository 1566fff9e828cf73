"""Which Python runs the backend, and what is said of one that the user names.

python -m pytest tests/process/test_pythons.py
"""

import importlib.util
import json
import subprocess
import sys

import pytest
from scenery import bare_environment


def program(path, script):
    """A file that can be run."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def printing(path, **found):
    """A program that answers the probe like a Python with other versions: there is no such Python to test with here."""
    answer = {"python": [3, 11, 7], "numpy": "2.0", "torch": "2.13.0", "devices": [], **found}
    return program(path, f"cat <<'END'\n{json.dumps(answer)}\nEND")


def test_the_default_is_the_python_that_runs_blender(extension, monkeypatch, tmp_path):
    """Also where `sys.executable` is Blender itself."""
    assert extension.pythons.default_python() == sys.executable
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / f"python3.{sys.version_info.minor}"
    python.touch()
    monkeypatch.setattr(sys, "executable", "/opt/blender/blender")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert extension.pythons.default_python() == str(python)


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        (None, "There is no file"),
        ("exit 3", "isn't a Python 3 that works: it printed nothing"),
        ("echo 'unknown option -I' >&2; exit 2", "isn't a Python 3 that works: unknown option -I"),
        ("echo hello", "isn't a Python 3 that works"),
        ("echo 42", "isn't a Python 3 that works"),
        ("exec sleep 30", "did not answer within 1 s"),
    ],
)
def test_a_file_that_is_no_python_is_explained(extension, tmp_path, script, sentence):
    """Not found, another program, one that hangs."""
    path = str(tmp_path / "python")
    if script is not None:
        program(tmp_path / "python", script)
    report = extension.pythons.check_python(path, limit_s=1)
    assert not report.usable and sentence in report.sentence and path in report.sentence and report.devices == ()


def test_an_empty_name_a_folder_and_a_text_file_are_explained(extension, tmp_path):
    """What a file chooser may give."""
    text = tmp_path / "notes.txt"
    text.write_text("python")
    for path, sentence in (("  ", "No Python is named"), (tmp_path, "is a folder"), (text, "can't be run")):
        report = extension.pythons.check_python(str(path))
        assert not report.usable and sentence in report.sentence


def test_a_python_without_torch_or_numpy_is_told_how_to_get_them(extension, tmp_path):
    """Real environments that lack them."""
    python = bare_environment(tmp_path / "environment")
    report = extension.pythons.check_python(str(python))
    assert not report.usable and f'"{python}" -m pip install torch' in report.sentence
    assert report.version == ".".join(map(str, sys.version_info[:3]))
    site = next((tmp_path / "environment").glob("lib/python*/site-packages"))
    (site / "torch.py").write_text("raise ImportError('libcudart.so.12: cannot open shared object file')")
    report = extension.pythons.check_python(str(python))
    assert "torch doesn't import: libcudart.so.12" in report.sentence
    (site / "torch.py").write_text("raise OSError('[WinError 126] c10.dll')")
    assert "torch doesn't import: [WinError 126]" in extension.pythons.check_python(str(python)).sentence


@pytest.mark.parametrize(
    ("found", "usable", "sentence"),
    [
        ({"python": [3, 8, 1]}, False, "is Python 3.8.1; 3.10 or newer is needed"),
        ({"numpy": None}, False, "-m pip install numpy"),
        ({"torch": "2.3.1+cu118"}, False, "has torch 2.3.1+cu118; 2.4 or newer is needed"),
        (
            {"devices": [{"name": "cpu", "words": "CPU", "problem": "no kernel"}]},
            False,
            "can't use any device: no kernel",
        ),
        (
            {
                "build": "CUDA 13.0",
                "devices": [
                    {"name": "cuda:0", "words": "RTX 9090, 64 GB", "problem": "this torch has no code for it"},
                    {"name": "cpu", "words": "CPU", "problem": None},
                ],
            },
            True,
            "torch 2.13.0, built for CUDA 13.0, on CPU. RTX 9090, 64 GB can't be used: this torch has no code for it.",
        ),
    ],
)
def test_versions_and_devices_are_judged(extension, tmp_path, found, usable, sentence):
    """Too old, incomplete, a GPU that this torch can't use."""
    report = extension.pythons.check_python(printing(tmp_path / "python", **found))
    assert report.usable == usable and sentence in report.sentence
    assert report.devices == (("cpu",) if usable else ())


@pytest.mark.parametrize(
    ("archs", "capability", "lacks"),
    [
        (["sm_80", "sm_90"], (9, 0), False),
        (["sm_80", "sm_86"], (8, 9), False),  # code of the same generation runs
        (["sm_80", "sm_90"], (6, 1), True),
        (["sm_80", "sm_90"], (12, 0), True),
        (["sm_80", "compute_90"], (12, 0), False),  # compiled for the device when it is loaded
        (["sm_90a", "sm_120"], (12, 0), False),
        (["gfx90a", "gfx1100"], (11, 0), False),
        ([], (9, 0), False),
    ],
)
def test_a_gpu_is_held_against_the_code_in_torch(extension, archs, capability, lacks):
    """The rule of NVIDIA's compatibility, run in the probe itself."""
    script = (
        f"import runpy, types; probe = runpy.run_path({str(extension.pythons.PROBE)!r})\n"
        f"cuda = types.SimpleNamespace(get_arch_list=lambda: {archs!r})\n"
        f"print(probe['lacks_code'](types.SimpleNamespace(cuda=cuda), {capability!r}))\n"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout.strip() == str(lacks)


@pytest.mark.torch
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="this Python has no torch")
def test_a_python_with_torch_is_described(extension):
    """The one that runs this test."""
    report = extension.pythons.check_python(sys.executable)
    assert report.usable and report.devices[-1] == "cpu" and "CPU" in report.sentence
    assert report.torch in report.sentence
