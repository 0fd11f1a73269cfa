"""The contest's own files: labels, overrides, predictions made elsewhere, and the submission.

cases.py               several images of one case, from a column or a pattern
class_names.py         how the submission names classes: settings and advice
contest_submission.py  a submission in the form of the section `contest`
external.py            predictions made elsewhere, from CSVs
ids.py                 an id in a user's file -> the image that it means
image_lists.py         which files of an image folder are the contest's, and the test images' ids
label_sources.py       where labels come from: a table, folders or names
labels.py              labels and overrides, joined to the images
list_settings.py       the section `contest.lists`
lookalikes.py          texts that look alike: invisible characters, letters of another script, capitals
lost_images.py         labels without an image, and classes that lose all their images
no_images.py           files of an image folder that are no images
paths.py               checks of the paths and columns in the contest section
records.py             a table as contests give it: CSV, JSON, COCO
settings.py            the `contest` section, and a section under `external`
submission.py          the submission template, and the submission
template_form.py       which columns of a template hold what, and the images that a row means
"""
