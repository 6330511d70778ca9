"""A linear sketch of the rows of a table: two sides are folded, subtracted, and what is left names what differs.

Pure: raw bytes in, numbers out. It is the only part that uses numba, and only to compile its kernels (machine_code).
"""
