"""Methods made of another method: used for a part of the training, of the parameters, of a batch.

Their table is :data:`gr_bench.methods.COMBINATORS`; ``docs/combinators.md`` explains them.
"""
