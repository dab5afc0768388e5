"""Quiz of notebook 02."""

from __future__ import annotations

from course_lib.exercises.quiz import Option, Question

QUIZ = (
    Question(
        "BERT masks 15 % of the tokens, and asks for these alone. GPT is asked for every next token. What follows?",
        (
            Option(
                "From one text, BERT gets about a seventh of the answers to learn from, but each from both sides.",
                "100 tokens give 15 questions here and about 100 there. That is one reason why BERT needs more passes.",
            ),
            Option(
                "BERT learns as fast, because the other 85 % are predicted too.",
                "they are not asked for. They stand in the input, so to predict them would be to copy.",
            ),
            Option(
                "GPT cannot be trained on long texts.",
                "the causal mask works at any length. A longer text only gives more questions.",
            ),
        ),
        right="a",
    ),
    Question(
        "Your model's loss on masked tokens is 6.0 nats, and guessing by word frequency alone (the unigram entropy) "
        "gives 6.1. What has the model learned?",
        (
            Option(
                "Nothing: a perplexity of about 400 is as bad as chance.",
                "chance among 30,000 words would be a perplexity of 30,000, or 10.3 nats. Much is learned already.",
            ),
            Option(
                "To read: 6.0 is below 6.1.",
                "it is below by a tenth of a nat. Reading takes it down to 3 and less.",
            ),
            Option(
                "Hardly more than how frequent each word is.",
                "every run begins so: first the frequencies, a long flat stretch, and then the context. "
                "Many stop a run on that stretch, too early.",
            ),
        ),
        right="c",
    ),
    Question(
        "Model A has a perplexity of 20 with pieces of 4 characters on average, model B one of 60 with pieces of 6. "
        "Which one predicts the text better?",
        (
            Option(
                "A: its perplexity is lower.",
                "its questions are easier. Who asks for single letters gets a perplexity below 10, and knows little.",
            ),
            Option(
                "B: 5.9 bits over 6 characters are less than 4.3 over 4.",
                "A needs 1.08 bits per character, B 0.98. The whole text has a higher probability under B.",
            ),
            Option(
                "That can never be compared.",
                "perplexities cannot, bits per character can: both models are asked for the same characters.",
            ),
            Option(
                "A: 20 / 4 = 5 is less than 60 / 6 = 10.",
                "perplexities are powers. Take logarithms before you divide by the length.",
            ),
        ),
        right="b",
    ),
    Question(
        "You split 60,000 sentences at random into training and held-out text, and pretrain. What is wrong?",
        (
            Option(
                "Nothing: a random split is the right one.",
                "it is right where the items are independent. The sentences of one document are not.",
            ),
            Option(
                "60,000 sentences are too few for a held-out part.",
                "a twentieth of them, 3,000 sentences, gives a good estimate of a loss.",
            ),
            Option(
                "The held-out loss comes out too high.",
                "too low: names and phrases of a held-out sentence stand in its neighbours, which were trained on.",
            ),
            Option(
                "Sentences of one document stand on both sides. Hold out whole documents.",
                "a speech repeats its names, topics and phrases. Held-out text must come from documents never seen.",
            ),
        ),
        right="d",
    ),
    Question(
        "Why does a tenth of the chosen tokens stay as it is, though the model is asked for it?",
        (
            Option(
                "To make the task easier at the beginning.",
                "the share stays the same during the whole training. Nothing is made easier over time.",
            ),
            Option(
                "So that the model cannot tell which words are right, and has to think about each of them.",
                "if every visible word were certainly right, its own vector could just be copied through. Texts in use "
                "have no [MASK], and the model must have something to say about their words.",
            ),
            Option(
                "Because [MASK] takes more time to compute.",
                "it is a token like any other, with one row in the table of embeddings.",
            ),
        ),
        right="b",
    ),
)
