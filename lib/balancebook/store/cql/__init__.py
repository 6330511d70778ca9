"""CQL values: how the bytes of a cell become a value, and how a value becomes text."""
