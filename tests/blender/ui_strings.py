"""Every string that the extension shows: read from its registered classes, and from the text of its modules."""

import ast
import inspect
import re
import sys
from pathlib import Path

from tests.blender import stage

DRAWN = {"text", "heading", "text_ctxt"}  # keywords of Blender's layout
SENTENCE = re.compile(r"^(?=.*\s)[\"'{A-Z0-9].*[.)!?](\{\})*$", re.S)
LETTERS = re.compile(r"[A-Za-z]{2}")
FOLDERS_OF_SENTENCES = (".", "timeline", "backend")  # what a user may come to read is said there
SAID = {"Progress": (1,), "report": (1,), "fact": (1, 2), "translated": (0,)}  # which of their arguments are shown
SHOWN_TABLES = {"STATES"}  # constants whose values are shown
# Misuse of the library and of the protocol, which no click can cause; it goes to the log.
SILENT = {
    "__main__.py", "change.py", "checkpoint.py", "features.py", "motion.py", "prior.py", "probe.py", "process.py",
    "protocol.py", "server.py", "tensors.py",
}  # fmt: skip


def registered() -> list:
    """The extension's classes that Blender knows."""
    import bpy

    modules = [m for name, m in sys.modules.items() if name.startswith(stage.PACKAGE) and m is not None]
    found = {}
    for module in modules:
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if kind.__module__ == module.__name__ and getattr(kind, "is_registered", False):
                found[kind.__module__, kind.__name__] = kind
    assert any(issubclass(kind, bpy.types.Operator) for kind in found.values())
    return list(found.values())


def class_strings() -> dict[str, str]:
    """Labels, tooltips, names and descriptions of the classes and their properties: string to where it is."""
    import bpy

    found = {}
    for kind in registered():
        where = f"{kind.__module__.removeprefix(stage.PACKAGE + '.')}.{kind.__name__}"
        rna = kind.bl_rna
        if issubclass(kind, bpy.types.Operator):
            rna = getattr(bpy.ops.motion_variations, kind.bl_idname.split(".")[1]).get_rna_type()
        if issubclass(kind, bpy.types.Operator | bpy.types.Menu | bpy.types.Panel):
            found[kind.bl_label] = where
        if issubclass(kind, bpy.types.Operator | bpy.types.Menu):
            found[rna.description or inspect.cleandoc(kind.__doc__)] = where
        own = {name for base in kind.__mro__ for name in base.__dict__.get("__annotations__", ())}
        for prop in rna.properties:
            if prop.identifier in own and not prop.is_hidden and prop.type not in ("POINTER", "COLLECTION"):
                place = f"{where}.{prop.identifier}"
                found |= {prop.name: place, prop.description: place}
                for item in getattr(prop, "enum_items_static", ()) if prop.type == "ENUM" else ():
                    found |= {item.name: place, item.description: place}
    return {string: where for string, where in found.items() if LETTERS.search(string)}


def module_files() -> list[Path]:
    """The extension's modules as they are installed."""
    folder = Path(stage.module("panels").__file__).parent
    return sorted(path for part in FOLDERS_OF_SENTENCES for path in (folder / part).glob("*.py"))


def template_of(node) -> str | None:
    """A string, or an f-string with {} for what it fills in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub(r"\{\w+\}", "{}", node.value)  # to be filled in by name
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return None


def written_strings() -> dict[str, str]:
    """What the modules draw and say: literal texts of layouts, and sentences, f-strings as templates with {}."""
    found = {}
    for path in module_files():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        passed_over = documentation(tree)
        for node in ast.walk(tree):
            where = f"{path.name}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Call):
                texts = drawn_texts(node) if path.parent.name != "backend" else []
                said = [node.args[at] for at in SAID.get(getattr(node.func, "id", ""), ()) if at < len(node.args)]
                found |= {text: where for text in (*texts, *(text for one in said for text in texts_of(one)))}
            elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in SHOWN_TABLES:
                found |= {text: where for value in node.value.values for text in texts_of(value)}
            elif path.name not in SILENT and id(node) not in passed_over:
                text = (template_of(node) or "").strip()
                if SENTENCE.match(text) and LETTERS.search(text.replace("{}", "")):
                    found[text] = where
    return found


def drawn_texts(call) -> list[str]:
    """The literal texts in a call of Blender's layout; those that it shall not translate by itself are passed over."""
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    if is_false(keywords.get("translate")):
        return []
    return [text for name in DRAWN & keywords.keys() for text in texts_of(keywords[name])]


def is_false(node) -> bool:
    """Whether an argument is the literal False."""
    return isinstance(node, ast.Constant) and node.value is False


def texts_of(node) -> list[str]:
    """The literal texts that an expression may have."""
    if isinstance(node, ast.IfExp):
        return texts_of(node.body) + texts_of(node.orelse)
    text = template_of(node)
    return [text] if text is not None and LETTERS.search(text.replace("{}", "")) else []


def documentation(tree) -> set[int]:
    """The nodes of docstrings, of parts of f-strings, and of properties, which the classes already gave."""
    nodes = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            nodes.add(id(node.value))
        elif isinstance(node, ast.JoinedStr):
            nodes |= {id(part) for part in node.values}
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "").endswith("Property"):
            nodes |= {id(one) for one in ast.walk(node)}
    return nodes
