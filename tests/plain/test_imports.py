"""Imports point one way, heavy packages stay where they belong, and the README's file tree is true."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("addon", "backend", "demo", "pictures", "training")
# Which of our packages each may import besides itself. The extension carries `backend` inside, as `.backend`.
ALLOWED = {
    "backend": set(),
    "addon": {"backend"},
    "pictures": {"backend"},
    "training": {"backend", "pictures"},
    "demo": {"backend", "pictures", "training"},
}
BLENDER = {"bpy", "bpy_extras", "mathutils", "addon_utils", "bl_ext", "gpu", "gpu_extras", "blf", "bmesh"}
BLENDER |= {"bl_operators", "bl_ui", "rna_keymap_ui"}  # presets, panels, keymaps
TREE_LINE = re.compile(r"^(?P<indent> *)(?P<name>[\w./-]+?/?)(?:\s{2,}(?P<purpose>\S.*))?$")
UNLISTED = {".gitignore"}
# Named in the tree as folders.
UNLISTED_FOLDERS = ("tests/", "docs/", "addon/docs/pictures/", "backend/checkpoints/", "training/pictures/")


def modules(package: str) -> list[Path]:
    """The package's files."""
    return sorted(path for path in (ROOT / package).rglob("*.py") if "__pycache__" not in path.parts)


def imports(path: Path) -> set[str]:
    """What a file imports anywhere, also inside functions: absolute names, relative ones resolved from the root."""
    names = set()
    folder = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if not node.level:
                names.add(node.module)
                continue
            base = list(folder[: len(folder) - node.level + 1]) + ([node.module] if node.module else [])
            names.add(".".join(base))
            names.update(".".join([*base, alias.name]) for alias in node.names)
    return names


def in_extension(package: str, name: str) -> str:
    """`addon.backend.x` is `backend.x`: in the extension `backend` lies inside the add-on's folder."""
    return name.removeprefix("addon.") if package == "addon" and name.startswith("addon.backend") else name


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_what_they_may(package):
    """Backend imports none of the others, addon and pictures import backend alone."""
    for path in modules(package):
        tops = {in_extension(package, name).split(".")[0] for name in imports(path)}
        wrong = (tops & set(PACKAGES)) - ALLOWED[package] - {package}
        assert not wrong, f"{path.relative_to(ROOT)} imports {', '.join(sorted(wrong))}"


def top_level(path: Path) -> set[str]:
    """The packages that a file imports as soon as it is imported itself."""
    tops = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            tops.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            tops.add(node.module.split(".")[0])
    return tops


def test_blender_is_known_to_the_addon_alone():
    """`backend` never imports Blender; `training` and `demo` only inside functions, so that they load without it."""
    for package in ("backend", "demo", "pictures", "training"):
        for path in modules(package):
            tops = top_level(path) if package != "backend" else {name.split(".")[0] for name in imports(path)}
            assert not tops & BLENDER, f"{path.relative_to(ROOT)} imports {', '.join(sorted(tops & BLENDER))}"


def test_torch_is_imported_by_its_engine_and_by_training_alone():
    """Nothing that ships needs torch, but the engine that asks for it."""
    for package in PACKAGES:
        for path in modules(package):
            needs_torch = {name.split(".")[0] for name in imports(path)} & {"torch"}
            may = package == "training" or path == ROOT / "backend/engines/torch_engine.py"
            assert may or not needs_torch, f"{path.relative_to(ROOT)} imports torch"


def test_what_ships_needs_only_numpy():
    """The add-on and the backend import Python's own library, Blender, numpy, torch in its engine, and themselves."""
    for package in ("addon", "backend"):
        for path in modules(package):
            tops = {name.split(".")[0] for name in imports(path)}
            foreign = tops - set(sys.stdlib_module_names) - BLENDER - {"numpy", "torch", package, "backend"}
            assert not foreign, f"{path.relative_to(ROOT)} imports {', '.join(sorted(foreign))}"


def test_the_numpy_backend_never_loads_torch():
    """Importing the whole backend, and asking for the numpy engine, leaves torch and Blender out of the process."""
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in modules("backend")
        if path.name not in ("torch_engine.py", "__main__.py")
    ]
    script = (
        f"import importlib, sys\nfor name in {names!r}: importlib.import_module(name.removesuffix('.__init__'))\n"
        "from backend.engines import load_engine\nload_engine('numpy')\n"
        "print(sorted({'torch', 'bpy'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"


def test_names_say_what_a_module_is_for():
    """No module is called utils, helpers, common or misc."""
    for package in PACKAGES:
        for path in modules(package):
            assert path.stem not in ("utils", "helpers", "common", "misc"), path.relative_to(ROOT)


def tree_entries() -> dict[str, str]:
    """The README's file tree: path to purpose."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"^## Files\n.*?^```\n(.*?)^```", text, re.M | re.S)
    assert block, "README.md has no file tree under '## Files'"
    entries, folders = {}, []
    for line in block[1].splitlines():
        match = TREE_LINE.match(line)
        assert match, f"This line of the file tree can't be read: {line!r}"
        depth = len(match["indent"]) // 2
        name = match["name"]
        folders[depth:] = [name] if name.endswith("/") else []
        path = "".join([*folders[:depth], name]) if not name.endswith("/") else "".join(folders)
        assert match["purpose"], f"{path} has no purpose in the file tree"
        assert path not in entries, f"{path} stands twice in the file tree"
        entries[path] = match["purpose"]
    return entries


def tracked_files() -> list[str]:
    """Every file that belongs to the project: git's, and new ones that git doesn't ignore."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in result.stdout.splitlines() if (ROOT / name).is_file()]


def test_every_file_is_in_the_readme():
    """The tree has one line a file; tests, pictures and weights are named by their folders."""
    entries = tree_entries()
    missing = [
        name
        for name in tracked_files()
        if name not in entries
        and name not in UNLISTED
        and not any(name.startswith(folder) and f"{folder}" in entries for folder in UNLISTED_FOLDERS)
    ]
    assert not missing, f"README.md's file tree lacks {', '.join(missing)}"


def test_everything_in_the_readme_exists():
    """The tree names nothing that isn't there."""
    gone = [path for path in tree_entries() if not (ROOT / path).exists()]
    assert not gone, f"README.md's file tree names {', '.join(gone)}, which don't exist"


def test_the_version_is_said_once():
    """Only the manifest has the extension's version."""
    with open(ROOT / "addon/blender_manifest.toml", "rb") as file:
        version = tomllib.load(file)["version"]
    for path in [*modules("addon"), ROOT / "build.py", ROOT / "pyproject.toml", ROOT / "README.md"]:
        assert version not in path.read_text(encoding="utf-8"), path.relative_to(ROOT)
