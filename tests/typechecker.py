"""The checker of annotations in tests: beartype, with ints taken as floats."""

import beartype

check = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))
