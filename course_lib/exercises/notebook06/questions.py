"""Quiz of notebook 06."""

from __future__ import annotations

from course_lib.exercises.quiz import Option, Question

QUIZ = (
    Question(
        "You store all weights as int8, one byte in the place of four. When the program runs, it turns them back into "
        "float32 and then multiplies as before. What have you gained?",
        (
            Option(
                "The file is a quarter as large, and the model is four times as fast.",
                "the multiplications are the same float32 ones as before. Nothing makes them faster.",
            ),
            Option(
                "The file is a quarter as large. The speed stays, or falls a little.",
                "speed comes from a kernel, a piece of code that multiplies the integers as integers, and from a "
                "processor that can do it. Without it, turning back is work on top.",
            ),
            Option(
                "The file is a quarter as large, and so is the memory while it runs.",
                "once the weights are float32 again, they take four bytes each, as before.",
            ),
            Option(
                "Nothing: the integers need their scales, and these take as much room.",
                "there is one scale for a row of hundreds of weights. That is about one per cent.",
            ),
        ),
        right="b",
    ),
    Question(
        "You set 90 % of a matrix to zero, wherever the weights were smallest, and multiply it with the usual dense "
        "kernel. How long does it take now?",
        (
            Option(
                "A tenth of the time.",
                "that would need a kernel that knows where the zeros are, and loses no time looking for them.",
            ),
            Option(
                "Half of the time, because processors have circuits for zeros.",
                "some NVIDIA cards have them, for two zeros in each four neighbours, and a kernel of its own. Zeros "
                "anywhere do not fit that pattern.",
            ),
            Option(
                "Longer, because zeros have to be treated separately.",
                "a dense kernel does not look at the numbers at all, so it treats none of them separately.",
            ),
            Option(
                "As long as before.",
                "a dense kernel multiplies by 0 as by any other number. Take out whole neurons, heads or layers, and "
                "the matrix itself gets smaller: that is faster everywhere.",
            ),
        ),
        right="d",
    ),
    Question(
        "In one row of a matrix the largest weight is 8, in another 0.02. You quantise to 8 bits. What does a scale "
        "for each row buy?",
        (
            Option(
                "The second row survives. With one scale for both, all of it becomes 0.",
                "the steps would be 8 / 127 = 0.063 wide, and 0.02 lies nearer to 0 than to the first step. With a "
                "scale of its own the row uses all 255 integers, for the price of one more number.",
            ),
            Option(
                "The row with the 8 becomes more exact.",
                "its scale is 8 / 127 either way. The small rows gain.",
            ),
            Option(
                "The multiplication is faster.",
                "it costs a little more, one scale for each output. It is little because the scale is the same all "
                "along the row, so one multiplication at the end of the sum does.",
            ),
        ),
        right="a",
    ),
    Question(
        "A teacher was trained on 6,000 labelled texts. A small student learns from the teacher's probabilities on "
        "60,000 texts without labels, and becomes better than one that learns from the 6,000 labels. Why?",
        (
            Option(
                "The teacher makes fewer mistakes than the people who wrote the labels.",
                "it learned from these labels and makes mistakes of its own. The student takes over some of them.",
            ),
            Option(
                "It is asked about ten times as many places, and each answer says how sure the teacher is.",
                "the student copies a function, and every text shows another point of it. A label says on which side "
                "the text lies; a probability says also how far from the border.",
            ),
            Option(
                "The temperature makes the gradients larger.",
                "it makes them smaller, by its square, and the factor in front of the loss makes up for that.",
            ),
            Option(
                "The student sees the teacher's weights.",
                "it sees answers alone. That is why a student may be built quite differently.",
            ),
        ),
        right="b",
    ),
    Question(
        "Four models were asked the same 2,000 test sentences, and each accuracy is uncertain by about 1.4 points "
        "either way. A: 90 MB, 12 ms, 88.0 %. B: 23 MB, 4 ms, 87.8 %. C: 23 MB, 6 ms, 87.2 %. D: 12 MB, 5 ms, 87.0 %. "
        "Which one do you leave out at once?",
        (
            Option(
                "D: it has the lowest accuracy.",
                "it is also the smallest. Who has room for 12 MB only has no other, so it is on the Pareto front.",
            ),
            Option(
                "A: B is as good, since 0.2 points lie well within 1.4.",
                "that you cannot tell the two apart does not make them equal. Compare them sentence by sentence; "
                "until then A has the highest figure, and stays.",
            ),
            Option(
                "C: B is as small, faster, and has the higher figure.",
                "nothing speaks for C. It is not on the Pareto front, the models that no other one beats in all "
                "respects. Its accuracy may really be as high as that of B, but it would still be slower.",
            ),
            Option(
                "None: all intervals overlap.",
                "they say something about accuracy alone. Size and time were measured too, and there B is ahead of C.",
            ),
        ),
        right="c",
    ),
)
