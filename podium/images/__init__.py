"""Find and decode the image files of a contest.

arrays.py       values of any type and number of channels -> pixels; .npy files
bit_depth.py    16-bit images that use a small part of their range
channels.py     an image of PIL's formats with a number of channels other than 3
decode.py       an image of PIL's formats -> RGB pixels, or why it cannot be read
decoders.py     which decoder reads a file
dicom.py        a DICOM file -> values, with its window
heic.py         HEIC, by a package that the user may install
image_files.py  the files of an image folder, each with its facts
packing.py      decode files into a pack; continue an interrupted run
settings.py     the `prepare` section
"""
