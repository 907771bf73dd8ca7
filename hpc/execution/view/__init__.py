"""The live view: what it shows (snapshot, cells), how it looks (heatmap, screen, marks), and where (terminal, watching)."""
