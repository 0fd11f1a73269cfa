"""What a bundle runs with numpy, pillow and onnxruntime alone; `make bundle` copies these files into it.

blend.py    members' probabilities -> the blend's, by the numbers of recipe.json
cases.py    several images of one case: which they are, and their mean
predict.py  images -> a table, as `make predict` makes it
resize.py   OpenCV's resizing in numpy
"""
