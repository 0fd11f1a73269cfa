"""Tables, sheets and summaries of the stages `report`, `review` and `ladder`.

ablation.py: the ablation study: each step compared with the one before it.
ablation_steps.py: the predictions of each step.
chance.py: whether the suspected labels of `review` mean something.
confusion.py: which classes are predicted as which; recall, precision and F1 by class.
diversity.py: how members differ and what each adds.
label_errors.py: suspected wrong labels, by confident learning.
member_votes.py: each member's out-of-fold predictions, and whether they are better than chance.
reliability.py: reliability by bins and the calibration error.
review_summary.py: the counts and the printed lines of `review`.
set_errors.py: suspected wrong labels in sets of labels.
suspect_sheet.py: the sheet of the most suspect labels.
unseen_classes.py: classes that are all in one fold, of which scores say nothing.
"""
