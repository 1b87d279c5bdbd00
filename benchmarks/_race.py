TARGET = -13.2


def measure():
    return {}
