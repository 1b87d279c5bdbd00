"""Columns of a table in its own words: their kinds, and the `Schema` that says which column is which.

Constant                     one value throughout, which needs no unit
Binary                       two values, such as "no" and "yes": Bernoulli
Category(other=True)         one of several, perhaps one not seen before: Categorical
Whole(low, high)             whole numbers of a range: Binomial
Count(), Count(max=120)      counts: Poisson, Binomial where they have a limit
Number("log")                real numbers after a monotone map: Gaussian
"""

from harmonium.columns.base import Kind
from harmonium.columns.discrete import Binary, Category, Constant
from harmonium.columns.frames import as_pandas, is_frame, typed
from harmonium.columns.numeric import Count, Number, Whole
from harmonium.columns.schema import Schema

__all__ = ["Binary", "Category", "Constant", "Count", "Kind", "Number", "Schema", "Whole"]
