"""Signatures checked at run time, with whole numbers accepted as floats (PEP 484's numeric tower)."""

import beartype

check = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))
