"""Find duplicates, leaks between train and test, and odd images; labels play no role.

clustering.py            pairs of duplicates -> clusters
duplicates.py            exact and near duplicates within and across subsets
findings.py              rows of findings.csv
fingerprints.py          an image -> a digest of its pixels and small grey thumbnails
hash_variants.py         thumbnails as an edited copy would have them, each with a perceptual hash
image_checks.py          blurry, dark, light, empty, grey and oddly sized images, by cleanvision
lsh.py                   candidate pairs: hashes that differ in few bits (locality-sensitive hashing)
near_duplicates.py       candidates, confirmed pair by pair -> near duplicates
search_summary.py        numbers for summary.json, and the sentences that the stage prints
settings.py              the `analyze` section
thumbnail_similarity.py  how similar two thumbnails are, as a whole and block by block
"""
