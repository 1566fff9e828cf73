"""What `build.py` puts together, and what its test command makes of pytest's answers."""

import os
import subprocess
import sys
import tomllib
import zipfile

import pytest

import build
from tools import environments, testing


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The assembled extension."""
    return build.assemble(tmp_path_factory.mktemp("assembled"))


def test_the_extension_has_the_addon_at_its_root_and_the_backend_below(folder):
    """`from .backend import ...` resolves in the extension, and its licence travels with it."""
    for name in (
        "blender_manifest.toml",
        "__init__.py",
        "backend/__init__.py",
        "backend/engines/__init__.py",
        "LICENSE",
    ):
        assert (folder / name).is_file(), name
    assert folder.name == build.EXTENSION_ID
    with open(folder / "blender_manifest.toml", "rb") as file:
        assert tomllib.load(file)["id"] == build.EXTENSION_ID


def test_nothing_that_python_left_behind_ships(folder):
    """No byte code, which Blender's platform refuses."""
    assert not [path for path in folder.rglob("*") if path.suffix == ".pyc" or path.name == "__pycache__"]


def test_equal_files_make_equal_zips(folder, tmp_path):
    """Whatever the clock says and however old the files are."""
    first, second = tmp_path / "first.zip", tmp_path / "second.zip"
    build.zip_folder(folder, first)
    for path in folder.rglob("*.py"):
        os.utime(path, (1e9, 1e9))
    build.zip_folder(folder, second)
    assert first.read_bytes() == second.read_bytes()


def test_the_zip_unpacks_to_the_folder(folder, tmp_path):
    """Every file, byte for byte, with the manifest at the root."""
    path = tmp_path / "extension.zip"
    build.zip_folder(folder, path)
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    wanted = {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    assert files == wanted
    assert "blender_manifest.toml" in files


def test_assembling_again_leaves_nothing_old(tmp_path):
    """A file that went away in the sources goes away in the extension."""
    folder = build.assemble(tmp_path)
    (folder / "old.py").write_text("")
    assert not (build.assemble(tmp_path) / "old.py").exists()


def test_requirements_are_pinned():
    """The environment is the same on every machine."""
    groups = [blender.group for blender in environments.BLENDERS.values()]
    for pin in environments.requirements([*groups, "training", "dev"]):
        assert "==" in pin, pin


@pytest.mark.parametrize(
    ("source", "counted"),
    [
        ("def test_a(): pass\ndef test_b(): pass\n", {"passed": 2, "failed": 0, "skipped": 0}),
        ("def test_a(): assert 0\ndef test_b(): pass\n", {"passed": 1, "failed": 1, "skipped": 0}),
        ("import pytest\ndef test_a(): pytest.skip('no data')\n", {"passed": 0, "failed": 0, "skipped": 1}),
        ("import nothing_of_this_name\n", {"passed": 0, "failed": 1, "skipped": 0}),
        ("import os\ndef test_a(): os._exit(0)\n", {"failed": 1}),
    ],
)
def test_results_are_counted(tmp_path, source, counted):
    """Passed, failed, skipped; a file that can't be imported, or a process that dies, is a failure."""
    file = tmp_path / "test_sample.py"
    file.write_text(source)
    arguments = [str(file), "-q", "-p", "no:cacheprovider", f"--rootdir={tmp_path}"]
    assert testing.run_pytest(sys.executable, arguments, dict(os.environ), tmp_path / "report.xml") == counted


def test_blender_files_get_a_process_each():
    """bpy can be imported once a process; named tests keep their order of kinds."""
    named = ["tests/plain/test_build.py", "tests/blender/test_operators.py::test_x", "tests/plain/test_imports.py"]
    assert testing.test_processes(named) == [
        ["tests/plain/test_build.py", "tests/plain/test_imports.py"],
        ["tests/blender/test_operators.py::test_x"],
    ]
    everything = testing.test_processes([])
    assert everything[0] == ["tests/plain", "tests/process", "tests/training"]
    assert all(len(one) == 1 and one[0].startswith("tests/blender/test_") for one in everything[1:])


def test_other_blenders_run_what_depends_on_them():
    """All Blender and process tests, but for the demo's and those that need PyTorch or what the module lacks."""
    oldest, newest = environments.BLENDERS["4.2"], environments.BLENDERS["5.2"]
    assert testing.test_processes([], newest)[0] == ["tests/process"]
    rest = [one for one in testing.test_processes([])[1:] if one != ["tests/blender/test_demo.py"]]
    assert testing.test_processes([], newest)[1:] == rest
    assert testing.marks(environments.MAIN) == []
    assert testing.marks(newest) == ["-m", "not draco and not torch"]
    assert testing.marks(oldest) == ["-m", "not newer and not draco and not torch"]


@pytest.mark.parametrize(
    ("arguments", "versions", "rest"),
    [
        ([], ["5.0"], []),
        (["--blender", "all", "-x"], ["4.2", "4.5", "5.0", "5.2"], ["-x"]),
        (["tests/blender", "--blender=5.2,4.2"], ["5.2", "4.2"], ["tests/blender"]),
    ],
)
def test_blenders_are_named(arguments, versions, rest):
    """By commas, or all; without a word the main one."""
    blenders, others = testing.chosen_blenders(arguments)
    assert ([one.version for one in blenders], others) == (versions, rest)


@pytest.mark.parametrize("named", ["", "4.3", "5.2,"])
def test_a_blender_that_there_is_not(named):
    """The sentence has the versions."""
    with pytest.raises(environments.BuildError, match="takes 4.2, 4.5, 5.0, 5.2 with commas between, or all"):
        testing.chosen_blenders(["--blender", named])


def test_the_python_of_a_blender_is_found_or_asked_for():
    """This one is found; one that nobody has is named with the ways to get it."""
    found = environments.find_python(sys.version_info[:2])
    code = "import sys; print(*sys.version_info[:2])"
    printed = subprocess.run([found, "-c", code], capture_output=True, text=True, check=True).stdout
    assert tuple(map(int, printed.split())) == sys.version_info[:2]
    with pytest.raises(environments.BuildError, match="Python 3.99 was found neither.*uv python install 3.99"):
        environments.find_python((3, 99))
