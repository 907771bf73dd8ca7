"""Slurm as an executor. Only these modules know Slurm's programs and terms."""
