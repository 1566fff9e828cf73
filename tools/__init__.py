"""What build.py is made of: environments with a Blender each, and the test command.

environments  virtual environments beside the checkout: Blender's versions, their Pythons, system libraries
testing       pytest's processes in those environments, counted together
"""
