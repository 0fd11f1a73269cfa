"""What every package needs: errors, settings, tables, pixels and worker processes.

array_file.py    arrays and what they mean in one safetensors file
cli.py           run a stage's main; show a user's mistake without a traceback
code_digest.py   a hash of Podium's own code
colours.py       numbers of channels
csv_faults.py    what is wrong with a file that is no CSV, and what to do
errors.py        InputError: the error for a user's mistake
freed_memory.py  memory that a process keeps for the next batch or image
interrupts.py    signals that end a stage early
parallel.py      work spread over processes, with results in order
params.py        params.yaml -> frozen settings, or an error that names the key
patterns.py      regular expressions in params.yaml
pixels.py        the packed image file: write it once, memory-map it
placeholders.py  placeholder paths for inputs that a contest does not have
progress.py      whether to show progress bars
resumable_pack.py  a packed image file whose writing may be killed and continued
row_blocks.py    large arrays in blocks of rows
row_groups.py    parquet files written table by table
scratch.py       large arrays in temporary files
seeding.py       seeds derived from their purpose
stage_times.py   how long each stage took
tables.py        contracts of tables; read and write CSV, parquet and JSON
targets.py       labels as classes, or as sets of labels; their targets
wording.py       numbers in sentences
workers.py       the number of worker processes
"""
