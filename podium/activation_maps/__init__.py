"""Class-activation maps of the blend's surest mistakes: where one network found the class that was wrongly predicted.

mistakes.py        which images the blend gets wrong, the surest first
network_choice.py  whose network is asked
class_maps.py      a network's maps for given classes, by Captum
mistake_maps.py    the maps of the mistakes, each by the network of the fold that held the image out
overlays.py        a map over its image
map_file.py        the file of the stage `activation_maps`, which `page` reads
"""
