"""The harness put to the test on the device at hand, by questions with known answers.

A check asks a question whose answer is known, of the pieces that measure everything else: devices,
clock, rounds, meters and methods. What noise leaves open is ``unknown``, never ``fail``.
"""
