"""A run of `hm.fit`, from its first update to its last.

In the order in which one reads them:

    course         what is trained, what was measured, and what rules may do: rollback, restarts; resuming
    learning_rate  how far a run has come, and the step size there
    measurement    what is measured along the way: a new measurement goes there
    likelihoods    how probable the model finds rows along the way, and log Z
    history        the records, and the progress bar
    checkpointing  where a run is saved, and Ctrl-C and SIGTERM, at which it is

What is done about a measurement is a rule, in `harmonium.recipes.rules`.
"""
