"""Real orders, sent through the front door, and counted twice: by the shop and by hand.

`reading` turns files into what must be sent, `client` sends it until it is answered, `run` does it in the
right order and compares, `command` is the command line.
"""
