"""Five fields of application on the course's own tools: data, the few models that are new, and what was measured.

`customer_service`, `credit`, `medicine`, `images` and `recommendation` each belong to one notebook, 13 to 17. Import
the one that you need: a field's data is fetched when it is first used.
"""
