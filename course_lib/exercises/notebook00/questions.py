"""Quiz of notebook 00."""

from __future__ import annotations

from course_lib.exercises.quiz import Option, Question

QUIZ = (
    Question(
        "The model says 0.03 for negative and 0.97 for positive about a review. What does 0.97 tell you?",
        (
            Option(
                "The model is right about 97 % of all reviews.",
                "that would be its accuracy, which is measured over many texts. This number is about one text.",
            ),
            Option(
                "How sure the model is that this one review is positive.",
                "it is the model's own opinion. Whether you can rely on it has to be measured; notebook 03 does.",
            ),
            Option(
                "The review is very positive, nearly as positive as can be.",
                "a lukewarm review can be clearly positive. How strong the praise is, is a matter of rating, "
                "not of probability.",
            ),
        ),
        right="b",
    ),
    Question(
        "You add 5 to every logit of a text, and then take the softmax. What happens to the probabilities?",
        (
            Option(
                "They all grow.",
                "they cannot: they still add up to 1.",
            ),
            Option(
                "The largest one grows, the others shrink.",
                "that is what happens when you multiply the logits by 5. Adding keeps their differences.",
            ),
            Option(
                "Nothing.",
                "every power grows by the same factor, and the factor cancels in the fraction. "
                "For the same reason you may subtract the maximum.",
            ),
        ),
        right="c",
    ),
    Question(
        "Of the texts in a test set, 80 % are positive. A model reaches an accuracy of 0.80 on it. What do you know?",
        (
            Option(
                "Its accuracy is that of a model that calls every text positive.",
                "so this number is no sign that it has learned anything. Always ask what the simplest rule would get.",
            ),
            Option(
                "It reads four of five texts correctly.",
                "it labels four of five correctly. It need not have read a single one to do so.",
            ),
            Option(
                "It calls 80 % of the texts positive.",
                "accuracy does not say how the predictions are spread. Other mistakes can give the same figure.",
            ),
        ),
        right="a",
    ),
    Question(
        "A review contains a word that is not in BERT's vocabulary. What does the tokenizer usually do with it?",
        (
            Option(
                "It leaves the word out.",
                "nothing is left out. The model would miss a word, perhaps the very word that matters.",
            ),
            Option(
                "It adds the word to the vocabulary.",
                "the vocabulary is fixed before training. A new entry would have no trained vector.",
            ),
            Option(
                'It puts "[UNK]" in its place.',
                "it does so only where no pieces fit, for instance with a sign that it has never met. "
                "Most words can be cut.",
            ),
            Option(
                "It cuts the word into smaller pieces that are in the vocabulary.",
                "single letters are pieces too, so nearly every English word can be cut.",
            ),
        ),
        right="d",
    ),
    Question(
        "You run a notebook of this course again. The training cell is done at once, with the same numbers. Why?",
        (
            Option(
                "The model remembers the texts from the first run.",
                "a fresh run begins with fresh weights. Nothing is remembered by the model.",
            ),
            Option(
                "The result was stored with all that it depends on, and nothing of that has changed.",
                "function, settings, data and versions are the same, so the stored result is the result. "
                "Change one setting, and it trains again.",
            ),
            Option(
                "The second run uses fewer texts.",
                "then the numbers would differ. The course never swaps in a smaller job behind your back.",
            ),
        ),
        right="b",
    ),
)
