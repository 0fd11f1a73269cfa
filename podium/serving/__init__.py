"""The trained blend on new images.

image_stream.py     image files, decoded in chunks as `prepare` decodes them
network_passes.py   what a member's networks and probes predict of a chunk
new_predictions.py  the blend on a folder of images, as a table
"""
