"""What a laptop does: merge, summarise, draw. It reads the files of `jobs`, and loads no torch, submitit or scheduler."""
