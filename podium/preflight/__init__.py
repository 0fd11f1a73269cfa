"""Preflight: the checks of the stage `check`, before anything is trained or removed.

broken_locks.py    files of DVC that a kill has cut off
cpu.py             whether this machine's CPU emulates bf16
folder_checks.py     image folders that hold no images, or classes elsewhere
git_checks.py      the repository has a commit; inputs that neither git nor DVC tracks
input_paths.py     the user's files and folders that params.yaml names: they exist, and outside the outputs
input_tables.py    the user's tables: labels, overrides, template, external predictions
memory.py          memory that tables of predictions take, and what does not fit
member_checks.py   each member's backbone, weights, image sizes and phases, on torch's meta device
pruning.py         outputs of removed members and folds
pruning_report.py  which outputs are removed, in lines for the user
random_crops.py    a note on members that train on random crops and predict at no larger size
run_size.py        how many trainings the run will take, and how large its models will be
settings.py        params.yaml as a whole, with the rules that cross sections
training_sizes.py  a note on members that do not predict at their training size
yaml_readings.py   values that DVC and Python read differently from params.yaml
"""
