"""The interface's strings have German entries, Blender gets them, and sentences that are put together find theirs."""

import re

import pytest

from tests.blender import ui_strings
from tests.blender.stage import module, walker

LANGUAGE = "de"
FRAGMENTS = {  # of sentences, and values that are filled into them
    "constraints", "drivers", "NLA tracks", "{} variations", "1 variation", "{} of {} curves differ",
    "A mix of two variations", "whole", "phrases", "detail", "Seed {}, {}, {}\u00b0",
    "Strip '{}' on '{}'{}", ", which is muted", "Mean {}\u00b0, most {}\u00b0 at frame {}", "'{}' was left out: {}",
    "Automatic", "Processor", "The graphics card where PyTorch can use one, else the processor",
    "The processor, even where there is a graphics card", "This graphics card. Another Python may not have it",
    "Remembered, but not found in the chosen Python. Where it is missing, the processor does the work",
    "torch {} can't use the device '{}': {}.", "the CPU alone",
    "{} can't be used: this torch was built for {}, your card is {}: it will not run there.",
}  # fmt: skip


@pytest.fixture(scope="module")
def strings(extension):
    """Every string of the interface, and where it is."""
    return ui_strings.written_strings() | ui_strings.class_strings()


def test_every_string_of_the_interface_has_a_german_entry(strings):
    """A string that was added lately is named here; its entry belongs into addon/translations/de.po."""
    entries = module("translations").languages()[LANGUAGE]
    missing = [f"{where}: {string}" for string, where in strings.items() if string not in entries]
    assert not missing, f"{len(missing)} strings have no entry in de.po:\n" + "\n".join(missing)


def test_the_scan_finds_what_the_interface_shows(strings):
    """Labels, tooltips, values of menus, texts of layouts and sentences are among what was found."""
    for string in (
        "Encode",
        "Whole motion",
        "How many variations one click makes. Each is a new action; the source stays as it is",
        "Show Source",
        "No variations of this action yet",
        "'{}' has no action. Choose one in the Action editor, or key its bones.",
        "Not started",
        "Waiting for the backend",
    ):
        assert string in strings
    assert len(strings) > 300


def test_entries_fill_in_what_their_strings_do(extension):
    """An entry has as many holes as its string, or names those that it needs by number; no entry stands twice."""
    translations = module("translations")
    for code, entries in translations.languages().items():
        for english, other in entries.items():
            holes = english.count("{}")
            numbered = set(map(int, re.findall(r"\{(\d+)\}", other)))
            assert other.count("{}") == holes or (numbered and numbered <= set(range(holes))), (code, english)
        text = (module_folder() / f"{code}.po").read_text(encoding="utf-8")
        identifiers = re.findall(r"^msgid (.*)$", text, re.M)
        twice = sorted({one for one in identifiers if identifiers.count(one) > 1})
        assert not twice, twice


def module_folder():
    """Where the languages are."""
    from pathlib import Path

    return Path(module("translations").__file__).parent


def test_nothing_of_the_old_interface_is_kept(strings):
    """Entries whose strings are gone are named, so that the file doesn't grow for ever."""
    names = {path.stem.replace("_", " ") for path in module_folder().parent.glob("presets/**/*.py")}
    entries = module("translations").languages()[LANGUAGE]
    gone = sorted(set(entries) - set(strings) - names - FRAGMENTS)
    assert not gone, "de.po has entries for strings that no longer exist:\n" + "\n".join(gone)


def test_blender_gets_each_entry_for_buttons_and_for_all_else(extension):
    """Blender asks in two contexts; this one was built without languages, so the tables are looked at themselves."""
    tables = module("translations").tables()
    for code, entries in module("translations").languages().items():
        assert len(tables[code]) == 2 * len(entries)
        assert tables[code]["Operator", "Encode"] == tables[code]["*", "Encode"] == entries["Encode"]


def test_sentences_that_are_put_together(operators, scene):
    """Real results and refusals come out German as a whole; names and numbers stay as they are."""
    session, translate = module("session"), module("translations").translate
    walker()
    operators.encode()
    english = session.message
    german = translate(english, LANGUAGE)
    assert german.startswith("48 Bilder eingelesen. Das Modell kennt diese Bewegung auf ")
    assert re.findall(r"\d+\.?\d*", german) == re.findall(r"\d+\.?\d*", english)
    import bpy

    bpy.context.object.name = "Lügner. Der"
    bpy.context.object.animation_data_clear()
    with pytest.raises(RuntimeError) as caught:
        operators.encode()
    sentence = str(caught.value).removeprefix("Error: ").strip()
    sentence = sentence[sentence.index("'Lügner. Der'") :]
    assert translate(sentence, LANGUAGE).startswith("„Lügner. Der“ hat keine Aktion. ")
    made = "3 variations: 8.2\u00b0, 8.5\u00b0, 8.1\u00b0 from the source; 60 of 69 curves differ."
    assert translate(made, LANGUAGE) == (
        "3 Variationen: 8.2\u00b0, 8.5\u00b0, 8.1\u00b0 von der Quelle; 60 von 69 Kurven sind anders."
    )
    two = "Read frame by frame because of constraints. Encode is still running. Wait for it or cancel it."
    assert translate(two, LANGUAGE) == (
        "Bild für Bild gelesen wegen: Constraints. Einlesen läuft noch. Warte oder brich es ab."
    )
    assert translate("Nobody wrote this. No job is running.", LANGUAGE) == "Nobody wrote this. Es läuft kein Auftrag."
    assert module("translations").translated(english) == english  # the tests' Blender is English


def test_a_po_file_is_read_as_translators_tools_write_it(extension):
    """Comments, several lines, escapes, and entries that aren't done."""
    text = '#: x\nmsgid ""\nmsgstr "Language: de\\n"\n\n#, fuzzy\nmsgid ""\n"Two "\n"lines"\n'
    text += 'msgstr "Zwei \\"Zeilen\\""\n'
    text += 'msgid "Not done"\nmsgstr ""\n'
    assert module("translations").read_po(text) == {"Two lines": 'Zwei "Zeilen"'}
