"""The interface in other languages: a file `<language>.po` beside this one is all that a language needs.

Labels and tooltips are handed to Blender, which looks them up by itself. Sentences that are put together, such as
"Encoded 48 frames.", have an entry with {} for what is filled in; `translated` finds it. A string without an entry
stays English.
"""

import ast
import re
from functools import lru_cache
from pathlib import Path

import bpy

CONTEXTS = ("*", "Operator")  # Blender keeps labels of buttons apart from all other strings
HOLE = "{}"
QUOTED = re.compile(r'(msgid|msgstr)?\s*(".*")')
SENTENCE_END = re.compile(r"(?<=[.!?)]) ")
DEEPEST = 3  # sentences in sentences

_languages: dict[str, dict[str, str]] = {}


def read_po(text: str) -> dict[str, str]:
    """The entries of a .po file: msgid to msgstr; untranslated ones and the head are left out."""
    parts = {"msgid": [], "msgstr": []}
    entries, at = [], "msgid"
    for line in text.splitlines():
        found = QUOTED.fullmatch(line.strip())
        if found is None:  # a comment, or an empty line
            continue
        if found[1] == "msgid":
            entries.append(parts)
            parts = {"msgid": [], "msgstr": []}
        at = found[1] or at
        parts[at].append(ast.literal_eval(found[2]))
    entries.append(parts)
    pairs = (("".join(entry["msgid"]), "".join(entry["msgstr"])) for entry in entries)
    return {english: other for english, other in pairs if english and other}


def languages() -> dict[str, dict[str, str]]:
    """Every language that ships, read once: its code to its entries."""
    if not _languages:
        for path in sorted(Path(__file__).parent.glob("*.po")):
            _languages[path.stem] = read_po(path.read_text(encoding="utf-8"))
    return _languages


def current_language() -> str:
    """The language that Blender shows and that we have; "" for English and any other."""
    locale = bpy.app.translations.locale or ""
    if not bpy.context.preferences.view.use_translate_interface:
        return ""
    return next((code for code in (locale, locale.split("_")[0]) if code in languages()), "")


def translated(text: str) -> str:
    """A sentence that was put together, or several, in the interface's language."""
    language = current_language()
    return translate(text, language) if language else text


@lru_cache(maxsize=512)
def translate(text: str, language: str, depth: int = 0) -> str:
    """The same in a language of ours: as a whole, or sentence by sentence; what isn't known stays English."""
    known = _filled(text, language, depth)
    if known is not None:
        return known
    if text != text.strip():  # what is added to a sentence brings its own space
        start = len(text) - len(text.lstrip())
        return text[:start] + translate(text.strip(), language, depth) + text[len(text.rstrip()) :]
    breaks = [found.start() for found in SENTENCE_END.finditer(text)]
    for end in reversed(breaks):
        known = _filled(text[:end], language, depth)
        if known is not None:
            return f"{known} {translate(text[end + 1 :], language, depth)}"
    if breaks:
        return f"{text[: breaks[0]]} {translate(text[breaks[0] + 1 :], language, depth)}"
    return text


def _filled(text: str, language: str, depth: int) -> str | None:
    """The entry that fits the whole text, with the text's own words filled in, or None."""
    entries = languages()[language]
    if text in entries or depth > DEEPEST:
        return entries.get(text)
    for pattern, other in _templates(language):
        found = pattern.fullmatch(text)
        if found is not None:
            return other.format(*(translate(group, language, depth + 1) for group in found.groups()))
    return None


@lru_cache(maxsize=8)
def _templates(language: str) -> list[tuple[re.Pattern, str]]:
    """The entries with something to fill in, those that say most first."""
    found = [(english, other) for english, other in languages()[language].items() if HOLE in english]
    found.sort(key=lambda pair: len(pair[0]) - len(HOLE) * pair[0].count(HOLE), reverse=True)
    patterns = ("(.*?)".join(map(re.escape, english.split(HOLE))) for english, _ in found)
    return [(re.compile(pattern, re.S), other) for pattern, (_, other) in zip(patterns, found, strict=True)]


def tables() -> dict[str, dict[tuple[str, str], str]]:
    """The entries as Blender takes them: language to (context, string) to string."""
    return {
        code: {(context, english): other for english, other in entries.items() for context in CONTEXTS}
        for code, entries in languages().items()
    }


def register():
    """Hands the labels and tooltips to Blender."""
    bpy.app.translations.register(__package__, tables())


def unregister():
    """Takes them back."""
    bpy.app.translations.unregister(__package__)
