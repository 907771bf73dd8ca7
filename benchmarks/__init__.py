"""The measured claims, each of which one command repeats, and the textbook trainer with which they are compared."""
