"""Slurm: the only room that knows a word of it."""
