"""The exercises by topic: code, cases and mistakes in Python, texts in the Markdown file of the same name."""
