"""What a trained model says of rows, in the form in which the rows came.

The modules:

    imputation   what is empty in rows, given the rest of them: `impute`
    surprises    P(column | rest of the row): `conditional`; the cells that fit their rows least: `surprise`
    form         tables come back as tables, with their columns, kinds and categories; tensors as tensors
"""

from harmonium.answers.imputation import impute
from harmonium.answers.surprises import Surprise, conditional, surprise

__all__ = ["Surprise", "conditional", "impute", "surprise"]
