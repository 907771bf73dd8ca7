"""The measured claims, each re-runnable by one command, and the textbook trainer that they are measured against."""
