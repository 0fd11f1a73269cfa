"""Where an input points that a contest or member lacks: DVC crashes on a null path."""

NO_FILE = "placeholders/none.csv"
NO_FOLDER = "placeholders/empty"
