"""The pictures and plot tables that `picture` writes, and the drawing that `review` shares.

drawing.py: sheets of labelled tiles, as PNG files with the same bytes every time.
gallery.py: contact sheets of the classes, of duplicates and of findings.
measures.py: size, brightness and colour of every image.
pack.py: what this package needs of a file of pixels.
plot_tables.py: the tables behind `dvc plots`, with at most a few thousand rows.
"""
