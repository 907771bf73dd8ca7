"""Slurm. No other module knows its words."""
