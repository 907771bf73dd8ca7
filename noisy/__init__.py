"""One run: what is trained and how. This package knows nothing about schedulers, result files, YAML or command lines."""
