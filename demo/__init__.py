"""The demo and the benchmark: a clip of our own, the extension installed in a real Blender, pictures, figures.

python build.py demo     walk_plan, walk_clip (the default clip), run_demo, contact_sheet
python build.py bench    bench
"""
