"""What attacks, explanations, defenses and augmentation share: words, their tokens, models queried in batches.

`document`: a text as words with their places, in any script. `gradients`: the alignment of words with tokens, and
gradients with respect to token embeddings. `modules`: private copies of a torch module that share its weights.
`classifiers`: what the course expects of any classifier. `masked_lm`: queries of a masked language model.

Import from these modules: this one loads none of them, so that `document` comes without torch.
"""
