"""Numbers of channels of an image."""

GREY = 1
RGB = 3
