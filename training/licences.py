"""Where a clip comes from and on which terms: kept with every clip, so that weights can say what they were made of.

Two ways to say it, the first that fits is taken:

    a table, `licences.tsv` in any of the folders or a file given by name: a line a kind of file, tab between
        pattern     licence     source
    in which the pattern is matched against the path below the folder (`cmu/*`, `*.glb`, `*/fox.glb`);
    a file LICENSE, LICENCE or COPYING (with or without .txt or .md) beside the clip or in a folder above it,
    whose first line is taken.
"""

from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from backend.errors import UserError

TABLE = "licences.tsv"
NAMES = ("license", "licence", "copying")
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Terms:
    """What is known of a clip: its licence and where it came from, in the words of who made the folder."""

    licence: str = UNKNOWN
    source: str = ""


def read_table(path: Path) -> list[tuple[str, Terms]]:
    """The lines of a table as (pattern, terms).

    Raises:
        UserError: a line is not pattern, licence and source.
    """
    rows = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        words = [word.strip() for word in line.split("\t")]
        if len(words) not in (2, 3) or not all(words[:2]):
            raise UserError(f"{path}, line {number}: expected pattern, licence and source with tabs between.")
        rows.append((words[0], Terms(*words[1:])))
    return rows


class Licences:
    """Finds the terms of a file below a folder; tables and licence files are read once."""

    def __init__(self, folder: Path, table: Path | None = None):
        self.folder, self.files = Path(folder), {}
        own = self.folder / TABLE
        self.rows = (read_table(table) if table else []) + (read_table(own) if own.is_file() else [])

    def terms(self, path: Path) -> Terms:
        """What is known of the file."""
        below = path.relative_to(self.folder).as_posix()
        for pattern, terms in self.rows:
            if fnmatch(below, pattern) or fnmatch(path.as_posix(), pattern):
                return terms
        folder = path.parent
        while True:
            if folder not in self.files:
                self.files[folder] = _licence_file(folder)
            if self.files[folder] is not None:
                return self.files[folder]
            if folder == self.folder or folder == folder.parent:
                return Terms()
            folder = folder.parent


def _licence_file(folder: Path) -> Terms | None:
    """The terms of the licence file in a folder, None where there is none."""
    for path in sorted(folder.iterdir()):
        if path.stem.lower() in NAMES and path.suffix.lower() in ("", ".txt", ".md") and path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            first = next((line.strip("# \t") for line in text.splitlines() if line.strip("# \t")), path.name)
            return Terms(f"{first} ({path.name})", folder.name)
    return None
