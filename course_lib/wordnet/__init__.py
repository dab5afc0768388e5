"""WordNet 3.0 (Miller 1995, Communications of the ACM 38(11)): synonyms, antonyms and forms of English words.

from course_lib import wordnet
wordnet.synonyms("films")        # ("movies", "pictures", ...)
wordnet.are_antonyms("loved", "hates")

Read from the asset "wordnet" at the first question (about a second). Senses are fine and many: the first synonym is
seldom the one that fits.
"""

from course_lib.wordnet.antonyms import antonyms, are_antonyms
from course_lib.wordnet.closed_class import CLOSED_CLASS
from course_lib.wordnet.context import likely_pos
from course_lib.wordnet.inflection import FORMS, forms_of, inflect
from course_lib.wordnet.lexicon import PARTS_OF_SPEECH
from course_lib.wordnet.morphology import lemmas, parts_of_speech
from course_lib.wordnet.synonyms import synonyms

__all__ = [
    "CLOSED_CLASS",
    "FORMS",
    "PARTS_OF_SPEECH",
    "antonyms",
    "are_antonyms",
    "forms_of",
    "inflect",
    "lemmas",
    "likely_pos",
    "parts_of_speech",
    "synonyms",
]
