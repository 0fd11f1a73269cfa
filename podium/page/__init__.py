"""The contest's report as one HTML page: offline, without JavaScript, the same bytes from the same tables.

advice.py: what to do next, the most important first.
charts.py: Vega-Lite charts, drawn to SVG by vl-convert.
content.py: what the page's templates show.
data_sections.py: duplicates, odd images, leakage, shift, folds.
galleries.py: which images the page shows, with captions.
model_sections.py: curves, ablation, members, errors, calibration, suspected labels.
page_inputs.py: the tables and settings that the page is made of.
removal.py: the command of a run without some members.
rendering.py: the templates (Jinja2, templates/) and their filters.
thumbnails.py: small JPEG images within the page.
"""
