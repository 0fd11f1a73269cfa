"""Find and decode the image files of a contest.

decode.py       an image file -> pixels, or why it cannot be read
image_files.py  the files of an image folder, each with its facts
settings.py     the `prepare` section
"""
