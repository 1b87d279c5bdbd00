"""A run of `hm.fit`, from its first update to its last.

In the order in which one reads them:

    course         what is trained, what was measured; rollback, restarts, checkpoints and resuming
    learning_rate  how far a run has come, and the step size there
    measurement    what is measured along the way: a new measurement goes there
    likelihoods    log Z along the way, `weights` the rest of a likelihood
    history        the records, and the progress bar
    interruption   Ctrl-C and SIGTERM

What is done about a measurement is a rule, in `harmonium.recipes.rules`.
"""
