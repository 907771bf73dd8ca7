"""Figures. Each plot is a function that takes data and an Axes and returns the Axes; `campaign` lists a campaign's figures."""
