"""The laptop: merge, summarise, draw. Knows the files of `jobs`; loads no torch, no submitit, no scheduler."""
