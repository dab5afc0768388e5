"""WordNet 3.0 (Miller 1995, Communications of the ACM 38(11)): synonyms, antonyms and forms of English words.

from course_lib import wordnet
wordnet.synonyms("films")        # ("movies", "pictures", ...)
wordnet.are_antonyms("loved", "hates")

Read from the asset "wordnet" on first use (0.2 s). Senses are fine and many: the first synonym is
seldom the one that fits.
"""

from course_lib.wordnet.lemma_ranking import likely_pos
from course_lib.wordnet.lexicon import PARTS_OF_SPEECH
from course_lib.wordnet.morphology import FORMS, forms_of, inflect, lemmas, parts_of_speech
from course_lib.wordnet.relations import are_antonyms, synonyms
from course_lib.wordnet.word_lists import CLOSED_CLASS

__all__ = [
    "CLOSED_CLASS",
    "FORMS",
    "PARTS_OF_SPEECH",
    "are_antonyms",
    "forms_of",
    "inflect",
    "lemmas",
    "likely_pos",
    "parts_of_speech",
    "synonyms",
]
