"""One run: what is trained and how. Knows nothing of schedulers, files of results, YAML or argv."""
