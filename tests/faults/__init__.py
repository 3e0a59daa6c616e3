"""Faults made on purpose: kills, full disks, damaged files, readers and runs that meet.

`python -m faults FIGURES.json` (from `tests/`) makes them in number and prints a table;
`test_faults.py` makes a few of each. Every fault is a numbered trial: what it does follows from
its number, and what it found wrong is a list of sentences, empty if nothing was.
"""
