"""Presets, header menus, pie menu, shortcuts, and what the redo panel shows."""

from pathlib import Path

import pytest

from tests.blender.stage import module, walker

SHIPPED = ["Another performer", "Loopable take", "Nervous detail", "New phrasing", "Subtle take"]


def preset_files() -> dict:
    """The presets that Blender lists, by their names."""
    import bpy

    folders = bpy.utils.preset_paths(module("resample_presets").FOLDER)
    files = [path for folder in folders for path in Path(folder).glob("*.py")]
    return {bpy.path.display_name(path.stem, title_case=False): path for path in files}


def settings_of(scene) -> dict:
    """All settings of the panel."""
    names = module("settings").ResampleSettings.__annotations__
    return {name: getattr(scene.motion_variations, name) for name in names}


def default_settings() -> dict:
    """The panel's settings as a new scene has them."""
    import bpy

    other = bpy.data.scenes.new("other")
    found = settings_of(other)
    bpy.data.scenes.remove(other)
    return found


def test_shipped_presets_load(operators, scene):
    """Each of them sets what it is named for, and has nothing that this version doesn't know."""
    files = preset_files()
    assert sorted(files) == SHIPPED
    results = {}
    for name, path in files.items():
        values = module("resample_presets").read_preset(path.read_text())
        assert module("resample_presets").apply_preset(scene.motion_variations, values) == []
        assert operators.load_preset(filepath=str(path)) == {"FINISHED"}
        results[name] = settings_of(scene)
        assert {key: results[name][key] for key in values} == pytest.approx(values)
    assert results["Subtle take"]["strength"] < results["New phrasing"]["strength"]
    assert results["Another performer"]["level"] == "WHOLE" and results["Nervous detail"]["level"] == "DETAIL"
    assert results["Loopable take"]["loop"] != "OFF"
    assert len({str(values) for values in results.values()}) == len(SHIPPED)


def test_a_preset_is_saved_loaded_and_deleted(operators, scene):
    """What was saved comes back exactly, but for what belongs to one clip; shipped ones can't be deleted."""
    settings = scene.motion_variations
    settings.count, settings.strength, settings.level, settings.contacts = 7, 0.25, "DETAIL", False
    settings.seed, settings.lock_seed = 1234, True
    saved = settings_of(scene)
    assert operators.preset(name="My own take") == {"FINISHED"}
    path = preset_files()["My own take"]
    try:
        assert "motion_variations/presets" not in str(path)  # where updates of the extension don't reach
        for name, value in default_settings().items():
            setattr(settings, name, value)
        assert operators.load_preset(filepath=str(path)) == {"FINISHED"}
        loaded = settings_of(scene)
        kept = module("resample_presets").setting_names()
        assert {name: loaded[name] for name in kept} == {name: saved[name] for name in kept}
        assert (loaded["seed"], loaded["lock_seed"]) == (1, False)
    finally:
        operators.preset(name="My own take", remove_name=True)
    assert sorted(preset_files()) == SHIPPED
    operators.preset(name="Subtle take", remove_name=True)
    assert sorted(preset_files()) == SHIPPED


def test_a_preset_of_another_version_loads_what_still_exists(operators, scene, tmp_path):
    """Settings, values and lines that mean nothing here are left out and named; the rest is set; nothing is run."""
    path = tmp_path / "Old_take.py"
    path.write_text(
        "import bpy\nsettings = bpy.context.scene.motion_variations\nsettings.strength = 0.75\n"
        "settings.no_such_setting = 3\nsettings.level = 'NO_SUCH_LEVEL'\nsettings.count = 'three'\n"
        "settings.seed = bpy.app.version[0]\nbpy.context.scene.frame_end = 7\nsettings.contacts = False\n"
    )
    presets = module("resample_presets")
    before = settings_of(scene)
    left_out = presets.apply_preset(scene.motion_variations, presets.read_preset(path.read_text()))
    assert sorted(left_out) == ["count", "level", "no_such_setting", "seed"]
    assert settings_of(scene) == before | {"strength": 0.75, "contacts": False}
    assert scene.frame_end == 250
    assert operators.load_preset(filepath=str(path)) == {"FINISHED"}
    path.write_text("settings.strength = = 3")
    with pytest.raises(RuntimeError, match="'Old take' can't be read"):
        operators.load_preset(filepath=str(path))
    with pytest.raises(RuntimeError, match="can't be read"):
        operators.load_preset(filepath=str(tmp_path / "missing.py"))


def test_shortcuts_are_off_until_switched_on(operators):
    """The preference adds them to the add-on's keys and takes every one away again; disabling does so too."""
    import addon_utils
    import bpy

    keyconfig = bpy.context.window_manager.keyconfigs.addon
    if keyconfig is None:  # this Blender has no place for keys; another key configuration stands in
        keyconfig = bpy.context.window_manager.keyconfigs.new("test")
        added = module("shortcuts").add(keyconfig)
        assert our_keys(keyconfig)
        module("shortcuts").remove(added)
        assert our_keys(keyconfig) == []
        return
    preferences = module("preferences").preferences()
    assert our_keys(keyconfig) == [] and not preferences.use_shortcuts
    preferences.use_shortcuts = True
    keys = our_keys(keyconfig)
    assert len(keys) == len(module("shortcuts").SHORTCUTS) * len(module("shortcuts").EDITORS)
    assert {name for name, *_ in keys} == {"3D View", "Dopesheet", "Graph Editor", "NLA Editor"}
    preferences.use_shortcuts = True  # twice on is once on
    assert our_keys(keyconfig) == keys
    preferences.use_shortcuts = False
    assert our_keys(keyconfig) == []
    preferences.use_shortcuts = True
    package = module("shortcuts").__package__
    try:
        addon_utils.disable(package)
        assert our_keys(keyconfig) == []
    finally:
        addon_utils.enable(package, default_set=True)
        module("preferences").preferences().use_shortcuts = False
    assert our_keys(keyconfig) == []


def our_keys(keyconfig) -> list:
    """The add-on's keys in a key configuration: keymap, operator, key."""
    ours = module("shortcuts")._is_ours
    return [(k.name, item.idname, item.type) for k in keyconfig.keymaps for item in k.keymap_items if ours(item)]


def test_menus_and_pie_name_operators_that_exist(operators):
    """Everything in the header menu, in the pie menu and behind a shortcut can be called, and its tooltip says more
    than its label."""
    import bpy

    class Layout:
        """Writes down what a menu draws."""

        def __init__(self):
            self.operators, self.menus = [], []

        def menu_pie(self):
            return self

        def separator(self):
            pass

        def menu(self, name, **_):
            self.menus.append(name)

        def operator(self, name, **_):
            self.operators.append(name)
            return type("Properties", (), {})()

    drawn = Layout()
    for menu in (module("menus").MOTION_VARIATIONS_MT_verbs, module("shortcuts").MOTION_VARIATIONS_MT_pie):
        menu.draw(type("Menu", (), {"layout": drawn})(), bpy.context)
    names = {*drawn.operators, *(shortcut.operator for shortcut in module("shortcuts").SHORTCUTS)}
    for name in names:
        group, verb = name.split(".")
        kind = getattr(getattr(bpy.ops, group), verb).get_rna_type()
        assert len(kind.description) > len(kind.name)
    assert all(hasattr(bpy.types, name) for name in drawn.menus)
    # What a button needs a line, a name or a number for stays with its panel; what sets up PyTorch, with preferences.
    elsewhere = {"rename", "scale", "keep_edits", "toggle_part", "load_preset", "preset"}
    elsewhere |= {"check_python", "find_pythons", "copy_command"}
    verbs = {f"motion_variations.{verb}" for verb in dir(bpy.ops.motion_variations) if verb not in elsewhere}
    assert verbs <= set(drawn.operators), "the header menu, where F3 finds them, lacks these verbs"


def test_the_redo_panel_is_a_record_of_the_click(operators, scene):
    """A click's settings come from the panel each time; the record lists those that had a say."""
    import bpy

    walker()
    settings = scene.motion_variations
    settings.count, settings.strength = 1, 0.5
    operators.resample(strength=1.5, count=2)
    operators.resample()
    rows = bpy.context.object.motion_variations.rows
    assert [round(row.strength, 3) for row in rows][1:] == [1.5, 1.5, 0.5]
    kind = operators.resample.get_rna_type()
    for name in module("settings").ResampleSettings.__annotations__:
        assert kind.properties[name].is_skip_save, name
        assert kind.properties[name].description == settings.bl_rna.properties[name].description
    redo, all_settings = module("redo"), module("settings").ResampleSettings
    shown = redo.shown_settings(settings, all_settings)
    assert "strength" in shown and not {"seed", "frame_start", "frame_end"} & set(shown)
    settings.frame_range, settings.lock_seed = "CUSTOM", True
    assert {"seed", "frame_start", "frame_end"} < set(redo.shown_settings(settings, all_settings))
    assert not redo.ONLY_WITH.keys() - all_settings.__annotations__.keys()
