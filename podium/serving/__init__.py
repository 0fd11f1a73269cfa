"""The trained blend on new images.

bundle.py                a folder that predicts without this project
image_stream.py          image files, decoded in chunks as `prepare` decodes them
model_card.py            the model card and the licences of a bundle
network_passes.py        what a member's networks and probes predict of a chunk
new_predictions.py       the blend on a folder of images, as a table
onnx_export.py           a network as ONNX, checked against torch
selection_of_members.py  the recipe of one member alone
zip_files.py             zip files whose bytes depend on their content alone
standalone/              what runs in a bundle
"""
