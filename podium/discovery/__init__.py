"""Discovery: look at a contest's folder and say how its `contest` section would read. `make new` writes what it finds.

case_columns.py    several images of one case: folders, or columns
class_labels.py    labels in the names of folders or files
contest_guess.py   the whole `contest` section, with a reason for each value
image_names.py     the images that an id may mean
inventory.py       the images and tables of a folder
label_table.py     the table of labels and its columns
params_text.py     the section as YAML with a comment on each value
subsets.py         which images are train images and which are test images
template_guess.py  the template, its columns, and the form of the submission
"""
