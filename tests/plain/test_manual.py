"""The manual holds together: links lead somewhere, pictures are there and small, named operators exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "addon" / "docs"
PAGES = sorted(DOCS.glob("*.md"))
MAX_PICTURE_BYTES, MAX_PICTURES_BYTES = 150_000, 1_500_000


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    """Each link and picture of a page is a file of the manual."""
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    gone = [link for link in links if "://" not in link and not (DOCS / link).is_file()]
    assert not gone, f"{page.name} links {', '.join(gone)}, which don't exist"


def test_the_index_names_every_page():
    """No page is hidden."""
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    missing = [page.name for page in PAGES if page.name != "README.md" and f"]({page.name})" not in index]
    assert not missing, f"README.md doesn't link {', '.join(missing)}"


def test_pictures_are_small_and_shown():
    """What ships with the extension stays small, and each picture stands on a page."""
    texts = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    pictures = sorted((DOCS / "pictures").glob("*.png"))
    sizes = {picture.name: picture.stat().st_size for picture in pictures}
    assert max(sizes.values()) <= MAX_PICTURE_BYTES, sizes
    assert sum(sizes.values()) <= MAX_PICTURES_BYTES, sizes
    unused = [name for name in sizes if f"pictures/{name}" not in texts]
    assert not unused, f"no page shows {', '.join(unused)}"


def test_named_operators_exist():
    """Scripts of the manual call what the extension has."""
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "addon").glob("*.py"))
    names = set(re.findall(r'bl_idname = "motion_variations\.(\w+)"', sources))
    text = (DOCS / "scripts.md").read_text(encoding="utf-8")
    table = re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| `")))
    called = set(re.findall(r"ops\.motion_variations\.(\w+)", text)) | set(table)
    assert called <= names, f"the manual calls {called - names}"


def test_the_online_manual_has_its_pages():
    """What a right click opens is there; read from the text, for the module needs Blender."""
    named = re.findall(r'", "(\w+\.md)"\)', (ROOT / "addon" / "manual.py").read_text(encoding="utf-8"))
    assert named and all((DOCS / name).is_file() for name in named), named
