"""Pictures by which a person can judge motion of any skeleton: poses as shaded limbs, sheets; needs Pillow."""
