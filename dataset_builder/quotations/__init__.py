"""Direct speech in a story: what was said, who said it, and what happened before. Rules only, no model.

`extract.quotations` reads one story. It uses marks.py (where speech begins and ends), finding.py (which spans are one
utterance), language.py (what is not modern prose), speakers.py and people.py (who speaks), situations.py (what
happened before).
"""
