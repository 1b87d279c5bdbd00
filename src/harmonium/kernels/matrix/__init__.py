"""The path ``matrix``: products in bfloat16 on matrix units, with each weight split in two."""
