"""The embedded contest: drawn by draw.py, scored by score.py; knows nothing of the rest."""
