"""Pages of the report: figures with captions, claims, run times, configuration and the reproducibility card.

All words and numbers about results come from the attributes of the results and from the table of claims.
"""
