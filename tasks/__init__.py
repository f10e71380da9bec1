"""One task a file.

To add one, save a file here with one subclass of `lso_bench.Task`, a frozen dataclass:

- its fields are the settings (`--task name:field=value`), its `data` names the data set;
- `score(x)` gives a number for each sample, higher is better;
- the file's name is the task's name.

`lso-bench new-task NAME --folder tasks` writes one to begin with, `lso-bench check-task NAME` says what it misses,
`lso-bench list tasks` shows it, and the tests check it.
"""
