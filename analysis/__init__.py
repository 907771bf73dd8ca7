"""What a laptop does: merge, summarise, draw. Knows the files of `jobs`; loads no torch, no submitit and no scheduler."""
