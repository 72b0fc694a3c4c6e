"""Bytes from files: complete lines with their position, each once, whatever happens to the files meanwhile.

This room knows no store, no JSON and no configuration. Its owner drives it from one thread: `scan`, `poll`, `read`,
write what was read, then `commit` (or `rollback`).
"""
