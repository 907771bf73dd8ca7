"""Missing runs are cut into tasks, and tasks are sized. All functions are pure: without files, clock or scheduler."""
