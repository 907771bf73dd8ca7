"""Figures. Each is a function that takes data and an Axes and returns the Axes; `campaign` says which ones a campaign gets."""
