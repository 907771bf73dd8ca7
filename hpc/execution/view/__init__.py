"""The live view: what it shows (snapshot, panels), how it looks (heatmap, screen, marks), and where (terminal, watching)."""
