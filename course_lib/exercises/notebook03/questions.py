"""Quiz of notebook 03."""

from __future__ import annotations

from course_lib.exercises.quiz import Option, Question

QUIZ = (
    Question(
        "Some sentences of the test set also stand in the training set. What does that do to the test accuracy?",
        (
            Option(
                "It comes out too low, because the copies confuse the model.",
                "a text that was trained on is the easiest of all. Copies with the same label do not confuse.",
            ),
            Option(
                "Nothing, as long as they are few.",
                "few of them change it a little, and you do not know by how much. Count them, then take them out.",
            ),
            Option(
                "It comes out too high: the model has seen these answers.",
                "it can know those texts by heart. New texts will not be so kind.",
            ),
        ),
        right="c",
    ),
    Question(
        "You train with five learning rates and report the best of the five test accuracies. What is wrong?",
        (
            Option(
                "The test set has helped to choose, so its figure is too good.",
                "the best of five is in part the luckiest of five. Choose on the validation set, "
                "and touch the test set once.",
            ),
            Option(
                "Five are too few.",
                "more tries make it worse here: the more you try, the luckier the best one is.",
            ),
            Option(
                "You should have reported the mean of the five.",
                "nobody will use the mean of good and bad settings. One setting is to be chosen, and elsewhere.",
            ),
        ),
        right="a",
    ),
    Question(
        "A text of 4 tokens is in one batch with a text of 120 tokens. The mask is right. "
        "What does the padding do to the short text?",
        (
            Option(
                "Its prediction moves towards the average of all texts.",
                "attention gives masked places no weight, so they cannot move anything.",
            ),
            Option(
                "Its prediction stays the same, up to rounding, but the machine does about 30 times the work for it.",
                "the mask makes the padding harmless, not free. That is why texts of like length go together.",
            ),
            Option(
                "It costs nothing, since masked places are skipped.",
                "the rectangle is computed as a whole. The mask only takes the weight away afterwards.",
            ),
            Option(
                "Its prediction becomes that of the long text.",
                "each row of a batch is computed on its own. Texts in a batch do not see each other.",
            ),
        ),
        right="b",
    ),
    Question(
        "On the same 2,000 test sentences, model A has 87.1 % and model B 86.5 %. Is A better?",
        (
            Option(
                "Yes, its figure is higher.",
                "12 sentences more. With another 2,000 sentences the order can turn round.",
            ),
            Option(
                "No, a difference of less than one point never counts.",
                "there is no such rule. With 200,000 sentences the same difference would be clear.",
            ),
            Option(
                "Yes, because 2,000 sentences are many.",
                "at 87 % one figure from 2,000 sentences is uncertain by about 1.5 points either way (95 % interval).",
            ),
            Option(
                "You cannot tell yet. Resample the sentences, and look at the interval of the difference.",
                "both models were asked the same sentences, so compare them sentence by sentence (paired bootstrap). "
                "If the interval contains 0, the order is open. Several seeds belong to it too.",
            ),
        ),
        right="d",
    ),
    Question(
        "Temperature scaling divides all logits of a model by one number above 0. "
        "The calibration error falls, the accuracy stays the same. Why does it stay?",
        (
            Option(
                "The number was chosen so that the accuracy stays.",
                "it is chosen for the likelihood of the validation labels. No choice of it could change the accuracy.",
            ),
            Option(
                "The model has learned nothing about accuracy.",
                "it has learned nothing at all here: one number is fitted, and the weights are left alone.",
            ),
            Option(
                "Within each text the largest logit stays the largest.",
                "the predicted class is the one with the largest logit. "
                "Only its distance to the others changes, and with it the confidence.",
            ),
        ),
        right="c",
    ),
)
