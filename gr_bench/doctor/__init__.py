"""The harness put to the test on the device at hand: does it measure right here?

A check asks a question whose answer is known, of the pieces that measure everything else: devices,
clock, rounds, meters and methods. What noise leaves open is ``unknown``, never ``fail``.
"""
