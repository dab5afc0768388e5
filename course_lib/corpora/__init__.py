"""Texts as tables: four corpora of rated sentences, or a CSV file of your own, with fixed, disjoint splits.

from course_lib import corpora
reviews = corpora.load("movie_reviews")                  # every row, with its split
train = corpora.part("movie_reviews", "train", 1000)     # the first 1,000 of train in hash order
"""

from course_lib.cleaning import normalise
from course_lib.corpora.csv_corpus import CsvTable, decode, from_csv, read_csv
from course_lib.corpora.idx import read_idx
from course_lib.corpora.ratings import CLASSES, NAMES, lexicon, load, part, raw, soft_labels
from course_lib.corpora.splits import SPLITS, hash_fraction, split_of
from course_lib.corpora.tables import read_table, read_table_file, reject_missing

__all__ = [
    "CLASSES",
    "NAMES",
    "SPLITS",
    "CsvTable",
    "decode",
    "from_csv",
    "hash_fraction",
    "lexicon",
    "load",
    "normalise",
    "part",
    "raw",
    "read_csv",
    "read_idx",
    "read_table",
    "read_table_file",
    "reject_missing",
    "soft_labels",
    "split_of",
]
