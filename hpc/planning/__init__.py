"""Planning: missing runs become tasks with costs and resources. All functions are pure: no files, clock or scheduler."""
